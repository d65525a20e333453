"""Commands and their flags; every error ends here, as words and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from yardlib import build, commands
from yardlib.errors import YardError
from yardlib.spec import PROFILES

Handler = Callable[[argparse.Namespace], None]


def main(argv: Sequence[str]) -> int:
    """Runs one command; 0 done, 1 failed with an explanation."""
    arguments = parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except YardError as error:
        print(f"yard: error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"yard: what to do: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("yard: interrupted; `hack/yard up` goes on from here, `hack/yard down` clears it away", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands."""
    top = argparse.ArgumentParser(prog="hack/yard", description="A real Kubernetes on this machine.")
    group = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Handler, text: str) -> argparse.ArgumentParser:
        one = group.add_parser(name, help=text, description=text)
        one.add_argument("--name", default="dev", help="which cluster (default: dev)")
        one.add_argument(
            "--provider",
            choices=commands.PROVIDERS,
            help="default: kind where it is installed, docker or podman answers and no fake nodes are asked for, else "
            "local; for a living cluster, its own",
        )
        one.set_defaults(run=run)
        return one

    up = command("up", commands.up, "make a cluster, or mend one")
    up.add_argument("--nodes", type=int, default=3, help="real nodes (default: 3)")
    up.add_argument("--fake-nodes", type=int, default=0, help="nodes played by KWOK (default: 0)")
    up.add_argument("--fake-gpus", type=int, default=8, help="GPUs on each fake node (default: 8)")
    _ask_version(up)
    up.add_argument("--profile", choices=PROFILES, default="default", help="timers and client limits")
    up.add_argument("--audit", action="store_true", help="write an audit log of what service accounts ask for")
    command("down", commands.down, "take a cluster, or all that match a pattern, down without a trace")
    command("list", commands.list_clusters, "list the local clusters")
    command("status", commands.status, "show what runs; exit 1 when a part is dead")
    command("kubeconfig", commands.kubeconfig, "print the path of the kubeconfig")
    command("nodes", commands.list_nodes, "list the nodes, where they stand and what they offer")
    command("load-image", commands.load_image, "put an image on all real nodes").add_argument(
        "image", help="busybox, torch, operator (built if need be), or a docker-archive"
    )
    make = command("build", commands.build_all, "build all programs and images now")
    _ask_version(make)
    make.add_argument("--no-images", action="store_true", help="programs only")
    make.add_argument(
        "--only", action="append", choices=build.PROGRAMS, metavar="PROGRAM",
        help="nothing but this program, such as helm or helm3, which only the chart's tests need; may be repeated",
    )  # fmt: skip
    _fault_commands(command)
    return top


def _ask_version(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--kubernetes",
        choices=build.KUBERNETES,
        default=os.environ.get("TRAINYARD_KUBERNETES", build.KUBERNETES[0]),
        help=f"its version (default: $TRAINYARD_KUBERNETES, else {build.KUBERNETES[0]})",
    )


def _fault_commands(command: Callable[[str, Handler, str], argparse.ArgumentParser]) -> None:
    """What breaks a cluster, for tests."""
    stop = command("node-stop", commands.node_stop, "cut a node's power, real or fake")
    stop.add_argument("node")
    stop.add_argument("--kubelet-only", action="store_true", help="silence the kubelet, let the containers run on")
    command("node-start", commands.node_start, "switch a stopped node on again").add_argument("node")
    for name, run, text in (
        ("device-fail", commands.device_fail, "break devices of a real node"),
        ("device-heal", commands.device_heal, "mend all devices of a real node"),
    ):
        one = command(name, run, text)
        one.add_argument("node")
        if name == "device-fail":
            one.add_argument("--resource", default="nvidia.com/gpu")
            one.add_argument("--device", type=int, action="append", help="its number; may be repeated (default: 0)")
    command("apiserver-restart", commands.apiserver_restart, "kill the API server and start it again")
    for name, run, text in (
        ("part-stop", commands.part_stop, "kill one part of the control plane"),
        ("part-start", commands.part_start, "start a killed part again"),
    ):
        command(name, run, text).add_argument("part", help="etcd, kube-apiserver, kube-scheduler, kwok, …")
