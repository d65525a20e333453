"""Does each provider do, ask and refuse what it should? With programs that only note how they were called."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from cluster.fake_tools import FakeTools
from yardlib import archive, engine, images, kind, local, operator_image, remote
from yardlib.cli import main
from yardlib.errors import YardError
from yardlib.spec import ClusterSpec

NODES = json.dumps(
    {
        "items": [
            {
                "metadata": {"name": name, "labels": {"topology.trainyard.dev/rack": "rack-local-0"}},
                "spec": {},
                "status": {
                    "allocatable": {"nvidia.com/gpu": "8"},
                    "conditions": [{"type": "Ready", "status": ready}],
                    "nodeInfo": {"kubeletVersion": "v1.37.2"},
                },
            }
            for name, ready in (("worker-a", "True"), ("worker-b", "False"))
        ]
    }
)
FAULTS = [
    ["node-stop", "node-1"],
    ["node-start", "node-1"],
    ["device-fail", "node-1"],
    ["device-heal", "node-1"],
    ["apiserver-restart"],
    ["part-stop", "etcd"],
    ["part-start", "etcd"],
]


@pytest.fixture
def kind_cluster(tools: FakeTools) -> FakeTools:
    """A kind cluster `t`, made with docker, whose second worker is not ready."""
    answer = f"case \"$*\" in *readyz*) echo ok;; *'get nodes'*) echo '{NODES}';; esac"
    for name, script in (("kind", ""), ("docker", ""), ("kubectl", answer)):
        tools.add(name, script)
    assert main(["up", "--name", "t", "--nodes", "2", "--provider", "kind"]) == 0
    return tools


def yard(*arguments: str) -> int:
    return main([*arguments, "--name", "t"])


def test_kind_is_called_with_the_same_labels_and_resources(kind_cluster: FakeTools, tmp_path: Path) -> None:
    calls = "\n".join(kind_cluster.calls)
    assert "kind create cluster --config" in calls
    assert "patch node trainyard-t-worker --subresource=status" in calls
    assert "patch node trainyard-t-worker2 " in calls
    assert '"nvidia.com/gpu": "8"' in calls and '"rdma/hca_shared_devices_a": "8"' in calls
    rendered = json.loads((tmp_path / "cache/trainyard/clusters/t/kind.json").read_text())
    assert [node["role"] for node in rendered["nodes"]] == ["control-plane", "worker", "worker"]
    assert rendered["nodes"][1]["labels"]["topology.trainyard.dev/rack"] == "rack-local-0"


@pytest.mark.parametrize("chosen", ["", "example.org/node:v1.35.1"])
def test_kind_takes_its_own_node_image_unless_another_is_named(
    tools: FakeTools, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    monkeypatch.setenv("TRAINYARD_KIND_IMAGE", chosen)
    for name in ("kind", "docker", "kubectl"):
        tools.add(name)
    kind.up(ClusterSpec(name="t", nodes=1))
    [create] = tools.called("kind create")
    assert (f"--image {chosen}" in create) if chosen else ("--image" not in create)


def test_kind_leaves_a_living_cluster_and_deletes_only_its_own(tools: FakeTools) -> None:
    tools.add("kind", 'if [ "$2" = clusters ]; then echo trainyard-t; echo other; fi')
    tools.add("kubectl")
    kind.up(ClusterSpec(name="t", nodes=1))
    assert kind.down("t") and not kind.down("absent")
    assert not tools.called("kind create") and tools.called("kind export kubeconfig --name trainyard-t")
    assert tools.called("kind delete") == ["kind delete cluster --name trainyard-t"]


def test_kinds_nodes_and_status_are_asked_through_kubectl(
    kind_cluster: FakeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert yard("nodes") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [
        ["worker-a", "yes", "-", "rack-local-0", "8", "0"],
        ["worker-b", "no", "-", "rack-local-0", "8", "0"],
    ]
    assert yard("status") == 1
    said = capsys.readouterr()
    assert "API server" in said.out and "worker-a" in said.out and "not ready: worker-b" in said.err
    assert all("clusters/t/kubeconfig" in call for call in kind_cluster.called("kubectl"))


def test_kind_builds_the_operators_image_by_the_dockerfile(kind_cluster: FakeTools) -> None:
    assert yard("load-image", "operator") == 0
    [built] = kind_cluster.called("docker build")
    assert f"--tag trainyard.dev/operator:dev --build-arg BUILD={images.operator_build()}" in built
    assert kind_cluster.called("kind load") == ["kind load docker-image trainyard.dev/operator:dev --name trainyard-t"]


def test_kind_loads_archives_and_what_the_engine_holds(kind_cluster: FakeTools, tmp_path: Path) -> None:
    (tmp_path / "some.tar").touch()
    assert yard("load-image", str(tmp_path / "some.tar")) == 0
    assert yard("load-image", "torch") == 0
    assert yard("load-image", "debian:trixie") == 0
    assert [call.split()[2:4] for call in kind_cluster.called("kind load")] == [
        ["image-archive", str(tmp_path / "some.tar")],
        ["docker-image", "trainyard.dev/torch:2.6"],
        ["docker-image", "debian:trixie"],
    ]


def test_podmans_images_reach_kind_by_way_of_a_file(kind_cluster: FakeTools) -> None:
    kind_cluster.add("docker", "exit 1")
    kind_cluster.add("podman")
    assert yard("load-image", "operator") == 0
    assert kind_cluster.called("podman save --format docker-archive --output")
    assert kind_cluster.called("kind load")[0].startswith("kind load image-archive")


def test_an_image_that_nobody_has_is_said_to_be_missing(
    kind_cluster: FakeTools, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(image: images.Image) -> Path:
        raise YardError("it needs root", "use sudo")

    monkeypatch.setattr(images, "build", refuse)
    kind_cluster.add("docker", '[ "$1" = info ]')
    assert yard("load-image", "example.org/none:1") == 1
    assert "docker has no image example.org/none:1" in capsys.readouterr().err
    assert yard("load-image", "torch") == 1
    said = capsys.readouterr().err
    assert "docker has no image trainyard.dev/torch:2.6" in said and "it needs root" in said and "use sudo" in said
    assert not kind_cluster.called("kind load")


def test_one_of_ours_that_the_engine_lacks_is_made_here(
    kind_cluster: FakeTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "build", lambda image: tmp_path / f"{image.name}.tar")
    kind_cluster.add("docker", '[ "$1" = info ]')
    assert yard("load-image", "busybox") == 0
    assert kind_cluster.called("kind load") == [f"kind load image-archive {tmp_path}/busybox.tar --name trainyard-t"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda words: words[0])
@pytest.mark.parametrize("provider", ["kind", "existing"])
def test_what_reaches_into_machines_is_refused_by_other_providers(
    tools: FakeTools, provider: str, fault: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert yard(*fault, "--provider", provider) == 1
    said = capsys.readouterr().err
    assert f"`{fault[0]}`" in said and provider in said and "hack/yard up --provider local" in said
    assert tools.calls == []


@pytest.mark.parametrize("command", [["kubeconfig"], ["nodes"], ["status"], ["load-image", "busybox"]])
def test_a_kind_cluster_that_was_never_made_is_missed(
    tools: FakeTools, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert yard(*command, "--provider", "kind") == 1
    said = capsys.readouterr().err
    assert "kind has no cluster 't'" in said and "hack/yard up --provider kind --name t" in said


def test_a_cluster_stays_with_the_provider_that_made_it(
    kind_cluster: FakeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("up", "down"):
        assert yard(command, "--provider", "local") == 1
        assert "was made by the provider kind, not by local" in capsys.readouterr().err
    assert yard("kubeconfig") == 0
    assert capsys.readouterr().out.strip().endswith("clusters/t/kubeconfig")


def test_an_existing_cluster_is_used_and_never_changed(
    tools: FakeTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.add("kubectl", f"case \"$*\" in *readyz*) echo ok;; *'get nodes'*) echo '{NODES}';; esac")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert yard("up", "--provider", "existing") == 1
    assert f"no kubeconfig at {tmp_path}/config" in capsys.readouterr().err
    (tmp_path / "config").touch()
    for command in ("up", "nodes", "kubeconfig", "down"):
        assert yard(command, "--provider", "existing") == 0
    assert str(tmp_path / "config") in capsys.readouterr().out
    assert tools.calls == ["kubectl get --raw /readyz", "kubectl get nodes --output=json"]


def test_existing_clusters_take_no_images_and_say_what_to_do(
    tools: FakeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    assert yard("load-image", "operator", "--provider", "existing") == 1
    said = capsys.readouterr().err
    assert "registry" in said and "hack/manifests --image" in said
    assert yard("up", "--provider", "existing", "--fake-nodes", "3") == 1
    assert "makes no nodes" in capsys.readouterr().err


def test_kind_is_the_default_where_it_and_an_engine_answer(tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(kind, "up", lambda spec: made.append("kind"))
    monkeypatch.setattr(local, "up", lambda spec: made.append("local"))
    for name in ("docker", "podman"):
        tools.add(name, "exit 1")
    yard("up")
    tools.add("docker")
    yard("up")
    tools.add("kind")
    yard("up")
    yard("up", "--fake-nodes", "2")
    assert made == ["local", "local", "kind", "local"]


def test_elsewhere_than_on_linux_one_is_sent_to_kind(
    tools: FakeTools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert yard("up", "--provider", "local") == 1
    assert "need Linux" in capsys.readouterr().err
    tools.add("docker")
    assert yard("up") == 1
    assert "kind is not installed" in capsys.readouterr().err


def test_without_a_kubectl_it_is_said_how_to_get_one(tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools.folder))
    with pytest.raises(YardError, match="kubectl is not installed"):
        remote.kubectl()


def test_the_image_command_asks_an_engine_that_answers(
    tools: FakeTools, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tools.add("docker", 'if [ "$2" = inspect ]; then echo sha256:0123; fi')
    out = tmp_path / "operator.tar"
    assert operator_image.main(["--output", str(out)]) == 0
    printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert printed == {
        "reference": "trainyard.dev/operator:dev",
        "path": str(out),
        "digest": "sha256:0123",
        "build": images.operator_build(),
    }
    assert tools.called("docker save") == [f"docker save --output {out} trainyard.dev/operator:dev"]


def test_the_image_command_builds_by_itself_where_no_engine_answers(
    tools: FakeTools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def build(image: images.Image) -> Path:
        archive.write_archive(tmp_path / "built.tar", image.reference, [], image.config)
        return tmp_path / "built.tar"

    monkeypatch.setattr(images, "build", build)
    assert operator_image.main(["--builder", "own"]) == 0
    printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert printed["path"] == str(tmp_path / "built.tar")
    assert printed["digest"] == archive.image_id(tmp_path / "built.tar")
    for name in ("docker", "podman"):
        tools.add(name, "exit 1")
    assert operator_image.main(["--builder", "engine"]) == 1
    assert "start docker or podman" in capsys.readouterr().err


def test_the_engines_ids_are_written_alike(tools: FakeTools) -> None:
    tools.add("podman", "echo 0123")
    assert engine.image_id("podman", "x") == "sha256:0123"
