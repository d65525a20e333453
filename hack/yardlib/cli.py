"""Commands and their flags; every error ends here, as words and an exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from yardlib import control_plane, local
from yardlib.errors import YardError
from yardlib.spec import PROFILES, ClusterSpec


def main(argv: Sequence[str]) -> int:
    """Runs one command; 0 done, 1 failed with an explanation."""
    arguments = parser().parse_args(argv)
    try:
        result: int = arguments.run(arguments)
        return result
    except YardError as error:
        print(f"yard: error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"yard: what to do: {error.hint}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """All commands."""
    top = argparse.ArgumentParser(prog="hack/yard", description="A real Kubernetes on this machine.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("--name", default="dev", help="which cluster (default: dev)")
        one.set_defaults(run=run)
        return one

    up = command("up", _up, "make a cluster, or mend one")
    up.add_argument("--nodes", type=int, default=3, help="real nodes (default: 3)")
    up.add_argument("--fake-nodes", type=int, default=0, help="nodes played by KWOK (default: 0)")
    up.add_argument("--fake-gpus", type=int, default=8, help="GPUs on each fake node (default: 8)")
    up.add_argument("--profile", choices=PROFILES, default="default", help="timers and client limits")
    up.add_argument("--audit", action="store_true", help="write an audit log of every request")
    command("down", _down, "take a cluster down and remove every trace of it")
    command("kubeconfig", _kubeconfig, "print the path of the kubeconfig")
    command("apiserver-restart", _apiserver_restart, "kill the API server and start it again")
    return top


def _up(arguments: argparse.Namespace) -> int:
    local.up(
        ClusterSpec(
            name=arguments.name,
            nodes=arguments.nodes,
            fake_nodes=arguments.fake_nodes,
            fake_gpus=arguments.fake_gpus,
            profile=arguments.profile,
            audit=arguments.audit,
        )
    )
    return 0


def _down(arguments: argparse.Namespace) -> int:
    if not local.down(arguments.name):
        print(f"yard: there is no cluster '{arguments.name}'", file=sys.stderr)
    return 0


def _kubeconfig(arguments: argparse.Namespace) -> int:
    print(local.get(arguments.name).admin_kubeconfig)
    return 0


def _apiserver_restart(arguments: argparse.Namespace) -> int:
    control_plane.restart(local.get(arguments.name), "kube-apiserver")
    return 0
