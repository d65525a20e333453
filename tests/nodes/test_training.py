"""Do real pods, signals, volumes, devices and DNS behave as promised, under the operator's own service account?"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from demolib.story import KILL_TRAINER
from support.history import Happening
from support.manifests import job, role
from support.world import World
from support.yard import ROOT
from yardlib import build

Object = dict[str, Any]
DDP = ROOT / "manifests" / "examples" / "ddp"
SHORT = {"terminationGracePeriodSeconds": 1}
"""Of pods that ignore SIGTERM: the test after them needs their nodes."""


def names(pods: list[Object]) -> list[str]:
    return [p["metadata"]["name"] for p in pods]


def nodes_apart(world: World, name: str) -> int:
    """On how many nodes its pods stand."""
    return len({p["spec"]["nodeName"] for p in world.pods(name)})


def logs(world: World, pod: str) -> str:
    return world.cluster.kubectl("-n", world.namespace, "logs", pod, check=False).stdout


@contextmanager
def followed(world: World, pod: str) -> Iterator[Path]:
    """The file that its log is written to, whole once this is left; by then the pod itself may be gone."""
    told = world.folder / f"{pod}.log"
    command = [build.kubectl(), f"--kubeconfig={world.cluster.kubeconfig}", "-n", world.namespace, "logs", "-f", pod]
    with told.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            yield told
            process.wait(60)  # it ends with the container
        finally:
            process.kill()


def sh(world: World, pod: str, script: str) -> str:
    """What a shell in the pod's trainer prints."""
    return world.cluster.kubectl("-n", world.namespace, "exec", pod, "--", "sh", "-c", script).stdout.strip()


def steps(text: str) -> list[tuple[int, float]]:
    return [(int(n), float(loss)) for n, loss in re.findall(r"^step (\d+) loss ([\d.]+)", text, re.M)]


async def apply_ddp(world: World, *arguments: str) -> None:
    """The example beside the documentation, with its claim on a volume of this test, and each pod on a node of its own:
    it asks for all of the node's GPUs."""
    for document in yaml.safe_load_all((DDP / "script.yaml").read_text()):
        await world.apply(document)
    await world.add_shared_volume("ddp-ckpt")
    manifest = yaml.safe_load((DDP / "job.yaml").read_text())
    manifest["spec"]["roles"][0] |= {"gpus": 8, "processesPerPod": 1}
    if arguments:
        manifest["spec"]["roles"][0]["template"]["spec"]["containers"][0]["args"] = list(arguments)
    await world.apply(manifest)


async def test_torch_loses_a_process_and_goes_on_from_its_checkpoint(world: World) -> None:
    await apply_ddp(world, "--steps=120", "--save-every=10", "--pause=0.05")
    await world.until_phase("ddp", "Running", seconds=90)
    first = names(world.pods("ddp"))
    assert nodes_apart(world, "ddp") == 2, "they talk, and share their volume, across nodes"
    with followed(world, first[0]) as told:
        saved = re.compile(r"^saved step [3-9]0$", re.M)
        await world.poll(lambda: saved.search(told.read_text()), "rank 0 to save a step", 90)
        world.cluster.kubectl("-n", world.namespace, "exec", first[1], "--", "python3", "-c", KILL_TRAINER)
        await world.until(lambda: world.status("ddp")["attempt"] == 1, "the attempt to move")
        await world.until_phase("ddp", "Succeeded", seconds=120)
    assert world.status("ddp")["restarts"]["total"] == 1, world.status("ddp")["episodes"]

    before, text = dict(steps(told.read_text())), logs(world, names(world.pods("ddp", 1))[0])
    found = re.search(r"^resumed from step (\d+)", text, re.M)
    assert found, text
    resumed = int(found[1])
    after = steps(text)
    assert resumed > 0
    assert after[0][0] == resumed + 1
    assert after[-1][0] == 120
    assert after[0][1] < 2.83, "the loss goes on where it was, not at ln 17"
    assert before, told.read_text()
    again = {step: (before[step], loss) for step, loss in after if step in before}
    assert all(abs(was - now) < 1e-3 for was, now in again.values()), f"the same step sees the same loss again: {again}"
    assert again or resumed == max(before), "nothing is trained twice only where it died just after a save"


async def test_devices_are_requested_counted_and_given(world: World) -> None:
    rdma = {"resource": "rdma/hca_shared_devices_a", "perPod": 1}
    await world.apply(job("gpu", role(replicas=2, gpus=4, pod=SHORT), rdma=rdma))
    await world.until_phase("gpu", "Running")
    for pod in world.pods("gpu"):
        trainer = pod["spec"]["containers"][0]
        assert trainer["resources"]["limits"]["nvidia.com/gpu"] == "4"
        assert trainer["resources"]["limits"]["rdma/hca_shared_devices_a"] == "1"
        assert "IPC_LOCK" in trainer["securityContext"]["capabilities"]["add"]
        visible = sh(world, pod["metadata"]["name"], "echo $NVIDIA_VISIBLE_DEVICES")
        assert len(visible.split(",")) == 4, "the kubelet has given four devices"
    node = world.pods("gpu")[0]["spec"]["nodeName"]
    described = world.cluster.kubectl("describe", "node", node).stdout
    allocated = described.partition("Allocated resources")[2]
    assert re.search(r"nvidia.com/gpu\s+[48]\s", allocated)
    assert re.search(r"rdma/hca_shared_devices_a\s+[12]\s", allocated)


def resolves(world: World, asking: str, name: str, address: str) -> bool:
    told = world.cluster.kubectl("-n", world.namespace, "exec", asking, "--", "nslookup", name, check=False)
    return address in told.stdout


async def test_names_resolve_and_hostnames_are_the_pods(world: World) -> None:
    await world.apply(job("dns", role(replicas=3, gpus=8, pod=SHORT)))
    await world.until_phase("dns", "Running")
    pods = world.pods("dns")
    assert nodes_apart(world, "dns") == 3
    service = pods[0]["spec"]["subdomain"]
    asking = names(pods)[0]
    for pod in pods:
        name = pod["metadata"]["name"]
        assert sh(world, name, "hostname") == name
        full = f"{name}.{service}.{world.namespace}.svc.cluster.local"
        # What the name servers know comes by other watches than the phase, a second late where two pods came at once.
        await world.poll(partial(resolves, world, asking, full, pod["status"]["podIP"]), f"{name} to resolve", 20)
    hosts = sh(world, asking, "cat $TRAINYARD_HOSTS_FILE")
    assert "worker" in hosts


MEET = """
import datetime, os, time, torch.distributed as dist
rank, port = os.environ["PET_NODE_RANK"], int(os.environ["PET_MASTER_PORT"])
patience = datetime.timedelta(seconds=60)
store = dist.TCPStore(os.environ["PET_MASTER_ADDR"], port, 2, rank == "0", timeout=patience)
store.set("rank" + rank, os.uname().nodename)
store.wait(["rank0", "rank1"])
print("met", store.get("rank0").decode(), store.get("rank1").decode(), flush=True)
time.sleep(3)
"""


async def test_pods_in_their_nodes_network_meet_at_the_derived_port(world: World) -> None:
    spec = {"hostNetwork": True, **SHORT}
    command = ["python3", "-c", MEET]
    hosty = role(replicas=2, gpus=8, image="trainyard.dev/torch:2.6", command=command, pod=spec, processesPerPod=1)
    await world.apply(job("hosty", hosty, framework="torch"))
    await world.until_phase("hosty", "Succeeded", seconds=120)
    pods = world.pods("hosty")
    assert nodes_apart(world, "hosty") == 2
    assert all(pod["status"]["podIP"] == pod["status"]["hostIP"] for pod in pods)
    assert all("met" in logs(world, name) for name in names(pods))


async def test_an_image_name_that_cannot_be_right_fails_the_job_at_once(world: World) -> None:
    await world.apply(job("wrong", role(replicas=1, image="Not/A:Name!")))
    await world.until_phase("wrong", "Failed", seconds=60)
    failed = world.condition("wrong", "Failed")
    assert failed["reason"] == "ImageInvalid" and "Not/A:Name!" in failed["message"]
    assert world.status("wrong")["attempt"] == 0


async def test_suspended_and_resumed_on_the_same_volume(world: World) -> None:
    await world.add_shared_volume("keep")
    script = "cd $TRAINYARD_CHECKPOINT_DIR/.. && mkdir -p nap && echo $TRAINYARD_ATTEMPT >> nap/log; exec sleep 100000"
    trainer = role(replicas=1, command=["sh", "-c", script], pod=SHORT)
    await world.apply(job("nap", trainer, checkpoint={"volume": {"claimName": "keep"}}))
    await world.until_phase("nap", "Running")
    await world.patch_job("nap", {"suspend": True})
    await world.until_phase("nap", "Suspended")
    assert world.live("nap") == []
    await world.patch_job("nap", {"suspend": False})
    await world.until_phase("nap", "Running")
    again = names(world.pods("nap", 1))[0]
    await world.poll(
        lambda: sh(world, again, "cat $TRAINYARD_CHECKPOINT_DIR/log").split() == ["0", "1"], "both to have written", 20
    )


def told_of(world: World, pod: Object) -> list[Happening]:
    """All that happened to it so far."""
    return [h for h in world.history.happenings if h.object["metadata"]["uid"] == pod["metadata"]["uid"]]


async def test_a_pod_of_a_closed_attempt_can_never_start(world: World) -> None:
    await world.apply(job("late", role(replicas=2, pod=SHORT)))
    await world.until_phase("late", "Running")
    pod = world.pods("late")[1]
    await world.delete_pod(pod["metadata"]["name"])
    await world.until(lambda: world.status("late")["attempt"] == 1, "the attempt to move")
    await world.until(lambda: world.pods("late", 0) == [], "the closed attempt's pods to go")
    copy = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {k: pod["metadata"][k] for k in ("name", "labels", "ownerReferences")},
        "spec": {k: v for k, v in pod["spec"].items() if k not in ("nodeName", "priority", "preemptionPolicy")},
    }
    # As a leader would that was paused between its decision and its request.
    created = await world.apply(copy)
    world.history.latecomers.add(created["metadata"]["uid"])
    await world.until(lambda: any(h.type == "DELETED" for h in told_of(world, created)), "the late pod to be deleted")
    ran = [
        h
        for h in told_of(world, created)
        if any("running" in (c.get("state") or {}) for c in h.object.get("status", {}).get("containerStatuses", []))
    ]
    assert ran == [], "its hosts are gone, so its kubelet never started it"
    await world.until_phase("late", "Running")
    assert world.status("late")["attempt"] == 1


async def test_a_crash_loop_of_two_seconds_spends_its_budget_and_no_more(world: World) -> None:
    policy = {"maxRestarts": 2, "backoff": {"initialSeconds": 1, "maxSeconds": 2}}
    await world.apply(job("loop", role(replicas=1, command=["sh", "-c", "sleep 2; exit 9"]), failurePolicy=policy))
    await world.until_phase("loop", "Failed", seconds=180)
    assert len(world.history.created("Pod")) == 3, "the first attempt and two restarts"
    assert world.condition("loop", "Failed")["reason"] == "MaxRestartsExceeded"
    kept = world.pods("loop")
    assert len(kept) == 1 and kept[0]["status"]["phase"] == "Failed", "the newest failed pod stays to be read"


async def test_a_sidecar_neither_completes_nor_fails_a_replica(world: World) -> None:
    side = {"name": "side", "image": "trainyard.dev/busybox:1", "command": ["sh", "-c", "exit 1"]}
    main = {"name": "trainer", "image": "trainyard.dev/busybox:1", "command": ["sh", "-c", "sleep 3; exit 0"]}
    stay = {"name": "stay", "image": "trainyard.dev/busybox:1", "command": ["sleep", "100000"]}
    pod = {"containers": [side, main, stay], **SHORT}
    await world.apply(job("side", role(replicas=2, pod=pod)))
    await world.until_phase("side", "Succeeded")
    assert world.status("side")["attempt"] == 0
    assert world.live("side") == []
