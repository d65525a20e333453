"""Is what would be written and called right? No cluster, no root, nothing installed."""

from __future__ import annotations

import dataclasses
import json
import os
import tarfile
from pathlib import Path

import pytest

from cluster.fake_tools import FakeTools
from yardlib import (
    archive,
    build,
    control_plane,
    dns,
    fake_nodes,
    faults,
    images,
    local,
    node_config,
    process,
    seed,
    slots,
)
from yardlib.archive import Config, Entry
from yardlib.cli import main, parser
from yardlib.control_plane import Cluster
from yardlib.errors import YardError
from yardlib.node_config import RealNode
from yardlib.paths import REPOSITORY
from yardlib.process import Program
from yardlib.slots import Addresses
from yardlib.spec import ClusterSpec, merge

SPEC = ClusterSpec(name="t", nodes=3, fake_nodes=20)
OPERATOR_ENTRY = str(images.OPERATOR_ENTRY.relative_to(REPOSITORY))


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(SPEC, Addresses(3), tmp_path)


def test_a_cluster_keeps_its_slot_and_another_gets_the_lowest_free_one() -> None:
    owners = {"0": "/a", "2": "/c"}
    assert slots.choose(owners, "/c") == 2
    assert slots.choose(owners, "/new") == 1


def test_when_all_slots_are_taken_the_error_lists_who_has_them() -> None:
    owners = {str(slot): f"/cluster-{slot}" for slot in range(slots.SLOTS)}
    with pytest.raises(YardError, match="/cluster-7") as caught:
        slots.choose(owners, "/new")
    assert "down" in caught.value.hint


def test_no_two_slots_share_an_address_a_range_or_a_device() -> None:
    seen: set[str] = set()
    for slot in range(slots.SLOTS):
        a = Addresses(slot)
        own = {a.bridge, a.loopback, a.gateway, a.network, a.services}
        own |= {value for index in range(1, 16) for value in (a.node(index), a.pods(index), a.veth(index))}
        assert not own & seen
        assert all(len(a.veth(index)) <= 15 for index in range(1, 16)), "the kernel's limit for device names"
        seen |= own


def test_claims_survive_and_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "runtime_root", lambda: tmp_path)
    first, second = slots.claim(Path("/one")), slots.claim(Path("/two"))
    assert first != second
    assert slots.claim(Path("/one")) == first == slots.find(Path("/one"))
    slots.release(Path("/one"))
    assert slots.find(Path("/one")) is None
    assert slots.claim(Path("/three")) == first


def test_a_living_cluster_may_gain_fake_nodes_and_an_audit_log_and_change_nothing_else() -> None:
    assert merge(SPEC, ClusterSpec(name="t", nodes=3, fake_nodes=50)).fake_nodes == 50
    assert merge(SPEC, ClusterSpec(name="t", nodes=3, fake_nodes=0)).fake_nodes == 20
    assert merge(SPEC, ClusterSpec(name="t", nodes=3, audit=True)).audit
    assert merge(dataclasses.replace(SPEC, audit=True), ClusterSpec(name="t", nodes=3)).audit
    with pytest.raises(YardError, match="nodes: 3 -> 2"):
        merge(SPEC, ClusterSpec(name="t", nodes=2))


@pytest.mark.parametrize(
    "spec",
    [
        ClusterSpec(name="Bad_Name"),
        ClusterSpec(name="t", nodes=16),
        ClusterSpec(name="t", nodes=-1),
        ClusterSpec(name="t", fake_nodes=20_001),
        ClusterSpec(name="t", fake_gpus=65),
        ClusterSpec(name="t", profile="turbo"),
        ClusterSpec(name="t", kubernetes="1.1"),
    ],
)
def test_a_spec_that_makes_no_cluster_is_refused(spec: ClusterSpec) -> None:
    with pytest.raises(YardError):
        spec.check()


def test_a_spec_is_read_back_as_written(tmp_path: Path) -> None:
    SPEC.save(tmp_path / "spec.json")
    assert ClusterSpec.load(tmp_path / "spec.json") == SPEC
    assert ClusterSpec.load(tmp_path / "none.json") is None


def test_only_profiles_change_timers(tmp_path: Path) -> None:
    def flags(profile: str) -> str:
        one = Cluster(ClusterSpec(name="t", profile=profile), Addresses(0), tmp_path)
        return " ".join(control_plane.api_server_args(one) + control_plane.controller_manager_args(one))

    assert "grace-period" not in flags("default") and "toleration-seconds" not in flags("default")
    assert "--node-monitor-grace-period=10s" in flags("fast-timers")
    assert "--kube-api-qps=1000" in flags("bench")


def test_without_real_nodes_everything_stays_on_the_loopback(tmp_path: Path) -> None:
    alone = Cluster(ClusterSpec(name="t", nodes=0), Addresses(2), tmp_path)
    assert "--bind-address=127.198.2.1" in control_plane.api_server_args(alone)


def test_the_bench_profile_raises_the_schedulers_limit(tmp_path: Path) -> None:
    bench = Cluster(ClusterSpec(name="t", profile="bench"), Addresses(0), tmp_path)
    connection = control_plane.scheduler_config(bench)["clientConnection"]
    assert isinstance(connection, dict) and connection["qps"] == connection["burst"] == 5000


def test_denied_names_are_forgotten_after_a_second(cluster: Cluster) -> None:
    assert "denial 9984 1" in dns.corefile(cluster)
    assert "bind 198.18.48.1" in dns.corefile(cluster)


def test_a_node_has_its_own_sockets_ranges_and_group(cluster: Cluster) -> None:
    one, two = RealNode(cluster, 1), RealNode(cluster, 2)
    assert node_config.kubelet(one)["cgroupRoot"] == "/trainyard/3/node-1"
    assert "198.18.50.0/24" in json.dumps(node_config.cni(two))
    assert str(one.socket) != str(two.socket)
    assert len(str(RealNode(cluster, 15).device_plugins / "rdma-hca_shared_devices_a.sock")) < 108
    assert "restrict_oom_score_adj = true" in node_config.containerd(one)


def test_fake_nodes_are_spread_over_racks_and_blocks() -> None:
    labels = [fake_nodes.node(i, gpus=8, tainted=False)["metadata"]["labels"] for i in range(256)]
    assert {one["topology.trainyard.dev/rack"] for one in labels} == {f"rack-{i}" for i in range(16)}
    assert {one["topology.trainyard.dev/block"] for one in labels} == {"block-0", "block-1"}
    assert len({one["kubernetes.io/hostname"] for one in labels}) == 256


def test_fake_nodes_offer_what_they_are_told_and_are_tainted_beside_real_ones() -> None:
    plain, beside = fake_nodes.node(0, gpus=4, tainted=False), fake_nodes.node(0, gpus=0, tainted=True)
    assert plain["status"]["allocatable"]["nvidia.com/gpu"] == "4"
    assert plain["status"]["allocatable"]["pods"] == "110"
    assert plain["spec"]["taints"] == []
    assert "nvidia.com/gpu" not in beside["status"]["allocatable"]
    assert beside["spec"]["taints"][0]["effect"] == "NoSchedule"


def test_broken_devices_add_up_until_they_are_healed(tmp_path: Path) -> None:
    file = tmp_path / "faults"
    faults.break_devices(file, "nvidia.com/gpu", [3])
    faults.break_devices(file, "nvidia.com/gpu", [1, 3])
    assert file.read_text() == "nvidia.com/gpu 1\nnvidia.com/gpu 3\n"
    faults.heal(file)
    assert faults.read(file) == set()


def test_versions_come_from_the_pinned_modules() -> None:
    versions = {component.folder: component.version for component in build.COMPONENTS}
    assert versions["kubernetes"].startswith("v1.")
    for kubernetes in (component for component in build.COMPONENTS if component.kubernetes):
        assert kubernetes.version.startswith(f"v{kubernetes.kubernetes}.")
        assert f"gitVersion={kubernetes.version}" in build.link_flags(kubernetes)


def test_every_version_of_kubernetes_has_programs_of_its_own() -> None:
    places = {build.binary("kube-apiserver", version) for version in build.KUBERNETES}
    assert len(places) == len(build.KUBERNETES)
    assert build.binary("etcd", build.KUBERNETES[0]) == build.binary("etcd", build.KUBERNETES[1])


def test_a_program_is_started_once_found_again_and_killed(tmp_path: Path) -> None:
    sleeper = Program("sleeper", ["sleep", "60"], tmp_path)
    try:
        assert process.ensure(sleeper)
        assert not process.ensure(sleeper), "it runs already"
        pid = process.pid_of(sleeper.pid_file)
        assert pid is not None
        sleeper.pid_file.write_text(f"{pid} 1\n")
        assert process.pid_of(sleeper.pid_file) is None, "another process under a number used again is not ours"
        sleeper.pid_file.write_text(f"{pid} {process.started_at(pid)}\n")
    finally:
        assert process.stop(sleeper.pid_file, kill=True)
    assert process.pid_of(sleeper.pid_file) is None


def test_waiting_ends_when_the_program_has_died_and_shows_its_last_words(tmp_path: Path) -> None:
    program = Program("talker", ["/bin/sh", "-c", "echo no such disk"], tmp_path)
    with pytest.raises(YardError, match="no such disk"):
        process.ensure(program)
        process.wait_until_alive([program], lambda: False, seconds=10, what="a miracle")


def test_an_archive_names_its_layers_by_their_digests(tmp_path: Path) -> None:
    layer, out = tmp_path / "a.layer.tar", tmp_path / "out.tar"
    archive.write_layer(layer, [Entry("bin", folder=True, mode=0o755), Entry("bin/x", b"x", 0o755)])
    archive.write_archive(out, "trainyard.dev/x:1", [layer], Config(command=("/bin/x",), user="65532:65532"))
    with tarfile.open(out) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        config = json.load(tar.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        names = tar.getnames()
    assert manifest["RepoTags"] == ["trainyard.dev/x:1"]
    assert manifest["Layers"][0] in names
    assert config["rootfs"]["diff_ids"] == [f"sha256:{archive.digest(layer)}"]
    assert config["config"]["User"] == "65532:65532"


def test_only_old_archives_make_room_for_newer_ones(tmp_path: Path) -> None:
    old, young, folder = tmp_path / "old", tmp_path / "young", tmp_path / "folder"
    folder.mkdir()
    for path in (old, young, folder / "file"):
        path.touch()
    for path in (old, folder):
        os.utime(path, (0, 0))
    images.forget([old, young, folder])
    assert list(tmp_path.iterdir()) == [young]


def test_the_same_input_gives_the_same_layer(tmp_path: Path) -> None:
    for name in ("a", "b"):
        archive.write_layer(tmp_path / name, archive.folder_entries(Path(images.OPERATOR_SOURCES) / "trainyard", "app"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_dockerfile_and_the_local_image_start_alike() -> None:
    text = (REPOSITORY / "Dockerfile").read_text()
    config = images.OPERATOR.config
    assert f"USER {config.user}" in text
    assert f"ENTRYPOINT {json.dumps(list(config.entrypoint))}" in text
    for variable in config.environment:
        assert variable in text
    assert "ARG BUILD" in text and "TRAINYARD_BUILD=${BUILD}" in text
    for source, target in (("operator/trainyard", "app/operator/trainyard"), (OPERATOR_ENTRY, "usr/local/bin")):
        assert f"COPY {source} /{target}" in text
        assert f"!{source}" in (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "--require-hashes" in text and "requirements/operator.txt" in text


def test_a_node_planted_from_the_seed_shares_files_but_not_databases(tmp_path: Path) -> None:
    grown = tmp_path / "seed"
    (grown / "snapshots/1/fs").mkdir(parents=True)
    (grown / "snapshots/1/fs/libtorch.so").write_text("large")
    (grown / "meta.db").write_text("index")
    seed.plant(grown, tmp_path / "store")
    seed.plant(grown, tmp_path / "store")
    shared, database = tmp_path / "store/snapshots/1/fs/libtorch.so", tmp_path / "store/meta.db"
    assert shared.samefile(grown / "snapshots/1/fs/libtorch.so")
    assert database.read_text() == "index" and not database.samefile(grown / "meta.db")


def test_what_is_wrong_is_said_with_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kubeconfig", "--name", "no-such-cluster", "--provider", "local"]) == 1
    said = capsys.readouterr().err
    assert "no-such-cluster" in said and "hack/yard up" in said


def test_a_pattern_takes_down_the_clusters_that_match_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(local, "names", lambda: ["tests-api", "tests-mortal-gw0", "tests2-api", "demo"])
    monkeypatch.setattr(local, "down", taken.append)
    assert main(["down", "--name", "tests-*"]) == 0
    assert taken == ["tests-api", "tests-mortal-gw0"]


@pytest.mark.parametrize("provider", ["local", "kind"])
@pytest.mark.parametrize("name", ["", ".", "..", "../x", "dev/"])
def test_only_a_name_takes_something_down(
    tools: FakeTools,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    provider: str,
) -> None:
    """A cluster's folder is removed by it: of an empty one, that is the folder of all."""
    monkeypatch.setattr(local, "runtime_root", lambda: tmp_path / "run")
    tools.add("kind", "echo trainyard-; echo trainyard-dev")
    clusters = tmp_path / "cache/trainyard/clusters"
    others = [clusters / "dev/etcd.log", clusters.parent / "x/archive.tar"]
    for other in others:
        other.parent.mkdir(parents=True)
        other.write_text("somebody's")
    assert main(["down", "--name", name, "--provider", provider]) == 1
    assert "is no name for a cluster" in capsys.readouterr().err
    assert all(other.exists() for other in others) and not tools.called("kind delete")


def test_the_clusters_of_the_machine_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("yardlib.slots.runtime_root", lambda: tmp_path)
    for name in ("two", "one"):
        slots.claim(tmp_path / "clusters" / name)
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split() == ["one", "two"]


def test_every_command_has_help() -> None:
    help_text = parser().format_help()
    for command in ("up", "down", "status", "kubeconfig", "nodes", "load-image", "node-stop", "device-fail"):
        assert command in help_text
