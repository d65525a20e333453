"""Are settings read in the right order, are bad ones refused with what to do, and does every room get its own?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainyard.kube.lease import LeaseSettings
from trainyard.model.cluster import SchedulingPolicy
from trainyard.model.plan import PlanningPolicy
from trainyard.settings import BadSettings, Settings, read_settings, settings_or_exit
from trainyard.settings.explain import describe, env_name, file_name, flag_name, render_settings_reference
from trainyard.settings.values import read_span, write_span


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRAINYARD_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the operator says before it ends with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        settings_or_exit(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_flag_wins_over_environment_over_file_over_default(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_or_exit([]).workers == 32
    config.write_text("workers: 3\nleaseName: from-file\n")
    assert settings_or_exit(["--config", str(config)]).workers == 3
    monkeypatch.setenv("TRAINYARD_CONFIG", str(config))
    monkeypatch.setenv("TRAINYARD_WORKERS", "4")
    assert settings_or_exit(["run"]).workers == 4
    settings = settings_or_exit(["run", "--workers", "5"])
    assert (settings.workers, settings.lease_name) == (5, "from-file")


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_WORKERS", "")
    assert settings_or_exit([]).workers == 32


@pytest.mark.parametrize(
    ("content", "field", "value"),
    [
        ("namespaces: [a, b]", "namespaces", ("a", "b")),
        ("namespaces: a, b", "namespaces", ("a", "b")),
        ("topologyLevels: {rack: x/r, host: y/h}", "topology_levels", (("rack", "x/r"), ("host", "y/h"))),
        ("ownedNodes: {pool: gpu}", "owned_nodes", (("pool", "gpu"),)),
        ("backfillBound: 1h30m", "backfill_bound", 5400.0),
        ("backfillBound: 90", "backfill_bound", 90.0),
        ("hostPorts: 30000-30100", "host_ports", (30000, 30100)),
        ("hostPorts: [30000, 30100]", "host_ports", (30000, 30100)),
        ("inheritLabels: [team, example.com/cost-centre]", "inherit_labels", ("team", "example.com/cost-centre")),
    ],
)
def test_file_forms(config: Path, content: str, field: str, value: object) -> None:
    config.write_text(content)
    assert getattr(read_settings({}, str(config)), field) == value


def test_lists_may_be_repeated_or_joined() -> None:
    assert settings_or_exit(["--namespaces", "a", "--namespaces", "b,c"]).namespaces == ("a", "b", "c")
    assert settings_or_exit(["--owned-nodes", "pool=gpu,zone="]).owned_nodes == (("pool", "gpu"), ("zone", ""))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--api-timeout", "soon"], ["--api-timeout 'soon'", "is not a span of time", "1m30s"]),
        (["--settle-time=-5s"], ["--settle-time '-5s'", "is not a span of time"]),
        (["--settle-time", "nan"], ["is not a span of time"]),
        (["--workers", "0"], ["--workers '0'", "greater than or equal to 1"]),
        (["--workers", "many"], ["--workers 'many'", "should be a valid integer"]),
        (["--log-format", "xml"], ["--log-format 'xml'", "should be 'json' or 'console'"]),
        (["--http-port", "70000"], ["--http-port '70000'", "65535"]),
        (["--metrics-port", "8080"], ["metrics-port and http-port are both 8080"]),
        (["--metrics-pods", "perhaps"], ["--metrics-pods 'perhaps'", "should be a valid boolean"]),
        (["--metrics-tls-cert", "/tls/tls.crt"], ["metrics-tls-cert and metrics-tls-key belong together"]),
        (["--metrics-auth", "kubernetes"], ["need metrics-tls-cert", "tokens do not travel in the clear"]),
        (["--metrics-client-ca", "/tls/ca.crt"], ["need metrics-tls-cert"]),
        (["--topology-levels", "rack"], ["--topology-levels 'rack'", "write rack=example.com/rack"]),
        (["--topology-levels", "Rack=a/b"], ["Rack=a/b is not a level", "widest level first"]),
        (["--topology-levels", "rack=a/b,rack=a/c"], ["names a level or a label twice"]),
        (["--owned-nodes", "pool"], ["write key=value"]),
        (["--owned-nodes", "pool=a b"], ["is not a label that a node can carry"]),
        (["--inherit-labels", "a b"], ["'a b' is not a name as labels and resources have"]),
        (["--host-ports", "20000"], ["--host-ports '20000'", "write 20000-28999"]),
        (["--host-ports", "30-20000"], ["between 1024 and 65535"]),
        (["--host-ports", "30000-20000"], ["write the lower first"]),
        (["--grant-time", "1s"], ["--grant-time '1s'", "greater than or equal to 5"]),
        (["--lease-duration", "5s"], ["leave no room", "as in 2s, 10s, 15s"]),
        (["--worker", "3"], ["--worker", "did you mean --workers?"]),
        (["--api-timeout"], ["expected one argument", "--help"]),
        (["serve"], ["serve", "--help"]),
        (["--config", "/nonexistent.yaml"], ["/nonexistent.yaml", "cannot be read", "TRAINYARD_CONFIG"]),
    ],
)
def test_bad_flags_are_refused_with_what_to_do(
    arguments: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(arguments, capsys)
    for part in expected:
        assert part in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("leaseDuratio: 3", ["leaseDuratio in ", "did you mean leaseDuration?"]),
        ("lease_duration: 30", ["lease_duration in ", "is no setting"]),
        ("zzz: 3", ["zzz in ", "--help lists them all"]),
        ("- a", ["must hold keys and values"]),
        ("a: [", ["is not YAML"]),
        ("workers: x", ["workers: 'x' in ", "should be a valid integer"]),
        ("ownedNodes: 3", ["ownedNodes: 3 in ", "write key=value"]),
        ("ownedNodes: {gpu: true}", ["the value True for gpu", "put it in quotes"]),
        ("ownedNodes: {version: 1.10}", ["the value 1.1 for version", "put it in quotes"]),
        ("namespaces: {a: b}", ["is not a list of texts"]),
    ],
)
def test_bad_files_are_refused_with_what_to_do(
    config: Path, content: str, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(content)
    message = refused(["--config", str(config)], capsys)
    for part in expected:
        assert part in message


def test_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRAINYARD_HTTP_PORT", "tcp://10.0.0.1:80")
    assert "TRAINYARD_HTTP_PORT='tcp://10.0.0.1:80'" in refused([], capsys)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(BadSettings) as error:
        read_settings({"workers": "x", "api_timeout": "y", "log_level": "z"})
    assert len(error.value.complaints) == 3
    assert "3 settings cannot be used" in str(error.value)


def test_help_and_reference_explain_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings_or_exit(["--help"])
    assert ended.value.code == 0
    told, page = capsys.readouterr().out, render_settings_reference()
    for name in Settings.model_fields:
        assert f"{flag_name(name)} " in told
        assert f"[{env_name(name)}; default: {describe(name).default}]" in told
        assert (
            f"| `{flag_name(name)}` | `{env_name(name)}` | `{file_name(name)}` | `{describe(name).default}` |" in page
        )


def test_no_setting_can_collide_with_the_variables_of_a_service() -> None:
    """A Service `trainyard` in the namespace sets TRAINYARD_SERVICE_HOST, TRAINYARD_PORT and TRAINYARD_PORT_80_TCP."""
    variables = {env_name(name) for name in Settings.model_fields}
    assert not {v for v in variables if "SERVICE" in v or "_TCP" in v}
    assert "TRAINYARD_PORT" not in variables


@pytest.mark.parametrize("seconds", [0, 0.25, 1, 59, 60, 90, 3600, 5400, 86400])
def test_spans_are_read_as_written(seconds: float) -> None:
    assert read_span(write_span(seconds)) == seconds


def test_defaults_are_those_of_the_rooms() -> None:
    settings = Settings()
    assert settings.planning_policy() == PlanningPolicy(build=settings.build)
    assert settings.scheduling_policy() == SchedulingPolicy()
    engine = settings.engine_settings()
    assert engine == type(engine)(
        planning=settings.planning_policy(),
        lease=LeaseSettings("trainyard-system", "trainyard-operator", engine.lease.identity),
    )


def test_every_room_gets_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_POD_NAME", "operator-1")
    monkeypatch.setenv("TRAINYARD_POD_UID", "uid-1")
    monkeypatch.setenv("TRAINYARD_POD_NAMESPACE", "home")
    settings = read_settings(
        {
            "build": "b7",
            "settle_time": "2m",
            "hold_time": "1m",
            "backfill_bound": "0",
            "namespaces": "a",
            "device_backed": "gpu.example.com",
            "workers": "7",
            "grant_time": "45s",
            "server_exit_time": "1m",
            "schedule_debounce": "100ms",
            "report_interval": "1s",
            "host_ports": "30000-30100",
            "watch_silence": "3m",
            "watch_lost_after": "10m",
        }
    )
    engine = settings.engine_settings()
    assert (engine.planning.grant_seconds, engine.planning.server_exit_seconds) == (45.0, 60.0)
    assert (engine.schedule_debounce, engine.report_interval, engine.launch.host_ports) == (0.1, 1.0, (30000, 30100))
    assert (engine.watch_silence, engine.watch_lost_after) == (180.0, 600.0)
    assert (engine.planning.build, engine.planning.settle_seconds, engine.planning.hold_seconds) == ("b7", 120.0, 60.0)
    assert engine.scheduling.device_backed == frozenset({"gpu.example.com"})
    assert (engine.scheduling.backfill_bound, engine.namespaces, engine.workers) == (0.0, ("a",), 7)
    assert (engine.lease.namespace, engine.lease.identity) == ("home", "operator-1_uid-1")
