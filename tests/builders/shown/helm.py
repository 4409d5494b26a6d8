"""`helm` as the docs show it, answered by Helm's own library (helm-python-sdk): no binary is needed.

In: a command line and KUBECONFIG. Out: what Helm's library did, and a few lines about it; exit 1 and Helm's
own sentence where it failed. A flag that is not known here is refused, so that none is silently left out.
Three of Helm's options have no keyword in the Python package and go to its C interface directly, which is
why installing and upgrading call that.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import helm_python
import yaml
from helm_python import _native

Values = dict[str, Any]
FAST = {"qps": 1000.0, "burst_limit": 1000}
TEST_SECONDS = 600  # then it hangs; less would be a question of how busy the machine is


def parser() -> argparse.ArgumentParser:
    """Every command and flag that the docs may show."""
    whole = argparse.ArgumentParser(prog="helm", allow_abbrev=False)
    commands = whole.add_subparsers(dest="command", required=True)
    made = {
        name: commands.add_parser(name, allow_abbrev=False)
        for name in ("install", "upgrade", "rollback", "uninstall", "test", "history", "get", "list")
    }
    for name, each in made.items():
        if name == "get":
            each.add_argument("what", choices=["values"])
            each.add_argument("-o", "--output", choices=["yaml"], required=True)
        if name != "list":
            each.add_argument("name")
        each.add_argument("-n", "--namespace", default="default")
    for name in ("install", "upgrade"):
        _add_chart(made[name])
    made["upgrade"].add_argument("--install", action="store_true")
    which = made["upgrade"].add_mutually_exclusive_group()
    which.add_argument("--reuse-values", action="store_true")
    which.add_argument("--reset-then-reuse-values", action="store_true")
    which.add_argument("--reset-values", action="store_true")
    made["rollback"].add_argument("revision", nargs="?", type=int)
    return whole


def _add_chart(command: argparse.ArgumentParser) -> None:
    command.add_argument("chart")
    command.add_argument("--create-namespace", action="store_true")
    command.add_argument("-f", "--values", action="append", default=[])
    command.add_argument("--set", action="append", default=[])
    command.add_argument("--dry-run", choices=("client", "server"))
    command.add_argument("--take-ownership", action="store_true")
    command.add_argument("--force-conflicts", action="store_true")


def values(asked: argparse.Namespace) -> Values:
    """Files first, then --set, as Helm merges them."""
    whole: Values = {}
    for name in asked.values:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
        merge(whole, helm_python.values_from_yaml(text))
    for expression in asked.set:
        merge(whole, helm_python.parse_set_string(expression))
    return whole


def merge(onto: Values, new: Values) -> None:
    """Deep merge; lists are replaced."""
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(onto.get(key), dict):
            merge(onto[key], value)
        else:
            onto[key] = value


def put(config: helm_python.Config, asked: argparse.Namespace) -> Values:
    """Install or upgrade; `upgrade --install` does what there is to do."""
    upgrade = asked.command == "upgrade" and not (asked.install and not exists(config, asked.name))
    options = {
        "namespace": asked.namespace,
        "dry_run": asked.dry_run,
        "create_namespace": None if upgrade else asked.create_namespace,
        "take_ownership": asked.take_ownership,
        "force_conflicts": asked.force_conflicts,
        "reuse_values": upgrade and asked.reuse_values,
        "reset_values": upgrade and asked.reset_values,
        "reset_then_reuse_values": upgrade and asked.reset_then_reuse_values,
    }
    answer = _native.call_string(
        "helm_upgrade" if upgrade else "helm_install",
        config._raw(),
        _native.HANDLE(0),
        _native.HANDLE(0),
        asked.chart,
        asked.name,
        json.dumps(values(asked)),
        json.dumps({key: value for key, value in options.items() if value}),
    )
    made: Values = json.loads(answer)
    return made


def exists(config: helm_python.Config, name: str) -> bool:
    """Whether there is such a release."""
    try:
        return bool(config.history(name))
    except helm_python.HelmNotFoundError:
        return False


def run(config: helm_python.Config, asked: argparse.Namespace) -> Any:
    """One command; the answer is Helm's."""
    match asked.command:
        case "install" | "upgrade":
            return put(config, asked)
        case "rollback":
            config.rollback(asked.name, version=asked.revision)
            return {"info": "Rollback was a success"}
        case "uninstall":
            return {"info": f'release "{asked.name}" uninstalled', **config.uninstall(asked.name)}
        case "test":
            return config.test(asked.name, timeout=TEST_SECONDS)
        case _:
            return told(config, asked)


def told(config: helm_python.Config, asked: argparse.Namespace) -> Any:
    """A command that changes nothing."""
    if asked.command == "get":
        return yaml.safe_dump(config.get_values(asked.name))
    return config.history(asked.name) if asked.command == "history" else config.list()


def main() -> None:
    """Read the command line, act, print."""
    asked = parser().parse_args()
    kubeconfig = os.environ["KUBECONFIG"]
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=asked.namespace, **FAST) as config:
        try:
            answer = run(config, asked)
        except helm_python.HelmError as error:
            sys.exit(f"helm {asked.command}: {error}")
    print(answer if isinstance(answer, str) else json.dumps(answer, indent=1, default=str))


if __name__ == "__main__":
    main()
