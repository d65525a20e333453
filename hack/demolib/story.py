"""The story itself. A chapter that does not come true ends the demo with a reason and exit code 1."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Sequence

from demolib.stage import CLUSTER, ROOT, DemoFailed, Stage, chapter, say, shown

JOB = "ddp"
EXAMPLES = ROOT / "manifests" / "examples" / "ddp"
# torchrun starts the training process as a child: the child is killed, and torchrun reports it.
KILL_TRAINER = """
import os, signal
from pathlib import Path
for folder in Path("/proc").glob("[0-9]*"):
    words = folder.joinpath("cmdline").read_bytes().split(b"\\0")
    if b"/opt/train/train.py" in words and not any(b"torchrun" in word for word in words):
        os.kill(int(folder.name), signal.SIGKILL)
"""


def main(arguments: Sequence[str]) -> int:
    """`up` tells the story and leaves everything to be looked at; `down` clears it away."""
    if list(arguments) == ["down"]:
        return subprocess.run([str(ROOT / "hack" / "yard"), "down", "--name", CLUSTER], check=False).returncode
    if list(arguments) != ["up"]:
        print("usage: hack/demo up | down")
        return 2
    try:
        tell(Stage())
    except DemoFailed as error:
        print(f"\ndemo: FAILED: {error}")
        print(f"demo: look around with: export KUBECONFIG=$(hack/yard kubeconfig --name {CLUSTER})")
        return 1
    return 0


def tell(stage: Stage) -> None:
    """From nothing to Succeeded."""
    chapter(1, "A real Kubernetes: control plane, three nodes with kubelets, DNS (built once, then kept)")
    stage.yard("up", "--name", CLUSTER, "--nodes", "3")
    for image in ("torch", "operator"):
        stage.yard("load-image", "--name", CLUSTER, image)
    stage.connect()
    started = time.monotonic()

    chapter(2, "The operator is installed")
    install(stage)
    chapter(3, "A PyTorch job of two pods is applied: one gang, one checkpoint volume")
    apply(stage)
    first = watch_training(stage)
    chapter(4, "One worker's process is killed with SIGKILL")
    step_before = kill(stage, first[1])
    chapter(5, "The gang comes back by itself, from its newest checkpoint")
    resumed = come_back(stage, step_before)
    chapter(6, "It trains to the end")
    finish(stage, resumed)
    say(f"\nThe story took {time.monotonic() - started:.0f} s. Look around:")
    say(f"   export KUBECONFIG=$(hack/yard kubeconfig --name {CLUSTER})")
    say(f"   export PATH=$PATH:{stage.kubectl_path.rpartition('/')[0]}")
    say(f"   kubectl get tj -o wide; kubectl describe tj {JOB}; kubectl get pods -l trainyard.dev/job={JOB}")
    say(f"   kubectl logs {first[1]}     # the killed worker, kept to be read")
    say("   kubectl logs -n trainyard-system deploy/trainyard-operator")
    say("and clear it all away with: make demo-down")


def install(stage: Stage) -> None:
    out = stage.kubectl("apply", "-f", str(ROOT / "manifests" / "install.yaml"))
    shown("kubectl apply -f manifests/install.yaml", "\n".join(out.splitlines()[-3:]))
    # A CRD that is seconds old may have no conditions yet, which `kubectl wait` takes for an error.
    established = ("wait", "--for=condition=Established", "crd/trainingjobs.trainyard.dev", "--timeout=5s")
    stage.until("the kind to be served", lambda: stage.kubectl(*established, check=False), 30)
    stage.kubectl("rollout", "restart", "deployment/trainyard-operator", "-n", "trainyard-system")
    out = stage.kubectl(
        "rollout", "status", "deployment/trainyard-operator", "-n", "trainyard-system", "--timeout=120s"
    )
    shown("kubectl rollout status deployment/trainyard-operator -n trainyard-system", out)


def apply(stage: Stage) -> None:
    stage.kubectl("delete", "trainingjob", JOB, "--ignore-not-found", "--wait")
    stage.kubectl("delete", "pvc", f"{JOB}-ckpt", "--ignore-not-found", "--wait")
    stage.kubectl("delete", "pv", f"{JOB}-ckpt", "--ignore-not-found", "--wait")
    for name in ("volume.yaml", "script.yaml"):
        stage.kubectl("apply", "-f", str(EXAMPLES / name))
    # A folder of its own, so that a demo told twice starts from step 0 both times.
    patch = json.dumps({"spec": {"checkpoint": {"directory": f"demo-{int(time.time())}"}}})
    local = ("--local", "-f", str(EXAMPLES / "job.yaml"), "--type=merge", "-p", patch, "-o", "json")
    out = stage.kubectl("create", "-f", "-", stdin=stage.kubectl("patch", *local))
    shown("kubectl create -f manifests/examples/ddp/job.yaml     # in a checkpoint folder of its own", out)


def pods_of(stage: Stage, attempt: int) -> list[str]:
    """Names of an attempt's pods, by rank; empty until both are there."""
    selector = f"trainyard.dev/job={JOB},trainyard.dev/attempt={attempt}"
    names = stage.kubectl("get", "pods", "-l", selector, "-o", "name", "--sort-by=.metadata.name").split()
    return [name.removeprefix("pod/") for name in names]


def watch_training(stage: Stage) -> list[str]:
    stage.until("both pods of the gang", lambda: "yes" if len(pods_of(stage, 0)) == 2 else "", 60)
    pods = pods_of(stage, 0)
    stage.log_line(pods[0], r"^step 1 ", 120)
    shown("kubectl get tj", stage.kubectl("get", "tj", JOB))
    shown("kubectl get pods -o wide", stage.kubectl("get", "pods", "-l", f"trainyard.dev/job={JOB}", "-o", "wide"))
    saved = stage.log_line(pods[0], r"^saved step ([4-9]\d|\d{3})", 120)
    shown(f"kubectl logs {pods[0]}", "\n".join(tail(stage, pods[0], 4)) or saved)
    return pods


def tail(stage: Stage, pod: str, lines: int) -> list[str]:
    return stage.kubectl("logs", pod, f"--tail={lines}").splitlines()


def kill(stage: Stage, victim: str) -> int:
    """SIGKILL the trainer's process from inside its pod, as the OOM killer would. Returns the last step seen before."""
    leader = victim[:-1] + "0"
    step = number(stage.last_line(leader, r"^step "))
    stage.kubectl("exec", victim, "--", "python3", "-c", KILL_TRAINER)
    say(f"   the training process of {victim} got SIGKILL at step {step}")
    return step


def come_back(stage: Stage, step_before: int) -> int:
    stage.until("attempt 1", lambda: "yes" if stage.job(JOB)["status"].get("attempt") == 1 else "", 60)
    episode = stage.job(JOB)["status"]["episodes"][-1]
    say(f"   attempt 0 was closed: {episode['message'].partition(': ')[0]}")
    stage.until("both pods of the second attempt", lambda: "yes" if len(pods_of(stage, 1)) == 2 else "", 60)
    leader = pods_of(stage, 1)[0]
    line = stage.log_line(leader, r"^(resumed from|starting from) step", 120)
    resumed = number(line)
    if not 0 < resumed <= step_before:
        raise DemoFailed(f"the second attempt said {line!r} after step {step_before}; a checkpoint was expected")
    stage.log_line(leader, rf"^step {resumed + 1} ", 60)
    shown(f"kubectl logs {leader}", "\n".join(stage.kubectl("logs", leader).splitlines()[:5]))
    shown("kubectl get tj", stage.kubectl("get", "tj", JOB))
    return resumed


def finish(stage: Stage, resumed: int) -> None:
    stage.until("the job to succeed", lambda: "yes" if stage.job(JOB)["status"]["phase"] == "Succeeded" else "", 150)
    leader = pods_of(stage, 1)[0]
    losses = [float(m) for m in re.findall(r"loss ([\d.]+)", stage.kubectl("logs", leader))]
    shown(f"kubectl logs {leader} --tail=3", "\n".join(tail(stage, leader, 3)))
    shown("kubectl get tj", stage.kubectl("get", "tj", JOB))
    if losses[-1] >= 2.5:
        raise DemoFailed(f"the loss ended at {losses[-1]}; it should have gone on falling after step {resumed}")
    say(f"   loss {losses[0]:.3f} at step {resumed + 1}, {losses[-1]:.3f} at the end")
    say("   lost: the steps since the newest checkpoint, and nothing else")


def number(line: str) -> int:
    """The step that a line of the log names; 0 without one."""
    found = re.search(r"step (\d+)", line)
    return int(found.group(1)) if found else 0
