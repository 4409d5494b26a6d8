"""The flags that commands share, and how their values are read.

In: words of a command line. Out: values with units, or argparse's own sentence.
"""

import argparse
import os
import re
from pathlib import Path

from plimsoll.pages.cold import POLICY_NAMES
from plimsoll.pressure.registry import DEFAULT as DEFAULT_PREDICTOR
from plimsoll.pressure.registry import NAMES as PREDICTOR_NAMES
from plimsoll_nodeagent.control.by_address import COST_RATIO
from plimsoll_nodeagent.control.fleet_models import SAY_SECONDS
from plimsoll_nodeagent.discover.hierarchy import DEFAULT_CGROUP_ROOT as HOST_CGROUP_ROOT
from plimsoll_nodeagent.kernelfs import Mode
from plimsoll_nodeagent.loop import MOST_CONTAINERS
from plimsoll_nodeagent.serve.local import SOCKET_NAME

# What a pod's container is told by its environment, so that a tool that is run in it needs no flags.
CGROUP_ROOT_VARIABLE = "PLIMSOLL_AGENT_CGROUP_ROOT"
STATE_VARIABLE = "PLIMSOLL_AGENT_STATE_DIR"
DEFAULT_CGROUP_ROOT = os.environ.get(CGROUP_ROOT_VARIABLE) or HOST_CGROUP_ROOT
DEFAULT_STATE = Path(os.environ.get(STATE_VARIABLE) or "/run/plimsoll")
DEFAULT_SOCKET = DEFAULT_STATE / SOCKET_NAME
DEFAULT_IDENTITY = Path("/var/run/plimsoll/identity")
DEFAULT_TOKEN = Path("/var/run/plimsoll/token/token")
LEAST_COLUMNS = 20
LAST_PORT = 65_535
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def seconds(text: str) -> float:
    """Read a duration such as 10s, 500ms or 1m."""
    match = _DURATION.fullmatch(text)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write for example 10s")
    return float(match[1]) * _SECONDS[match[2]]


def positive(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def cpu_share(text: str) -> float:
    """Read a share of one processor above zero."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 1.0:  # false for NaN, too
        raise argparse.ArgumentTypeError(f"{text!r} is no share of a processor above 0, up to 1")
    return share


def columns(text: str) -> int:
    """Read the width of a picture, which needs room for its labels."""
    if not text.isdecimal() or int(text) < LEAST_COLUMNS:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {LEAST_COLUMNS} on")
    return int(text)


def port(text: str) -> int:
    """Read a TCP port; 0: any."""
    if not text.isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to {LAST_PORT}")
    return int(text)


def shared_flags() -> argparse.ArgumentParser:
    """Where to look, and at what."""
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    shared.add_argument("--root", type=Path, default=Path("/"), help="where /proc and /sys are (default: /)")
    shared.add_argument(
        "--cgroup-root",
        default=DEFAULT_CGROUP_ROOT,
        help="cgroup v2 hierarchy under --root, or the kubelet's cgroup in it (default: %(default)s)",
    )
    shared.add_argument(
        "--cgroup",
        action="append",
        default=[],
        metavar="PATH",
        help="look at this cgroup, and not at a kubelet's pods; may be given several times",
    )
    shared.add_argument(
        "--most-containers",
        type=positive,
        default=MOST_CONTAINERS,
        help="sample no more containers than this: bounds memory and series (default: %(default)s)",
    )
    return shared


def acting_flags(parser: argparse.ArgumentParser) -> None:
    """What may be done, and who says so."""
    parser.add_argument(
        "--mode",
        choices=[each.value for each in Mode],
        default=Mode.READ.value,
        help="read: write nothing; dry-run: note what would be written; act (default: %(default)s)",
    )
    parser.add_argument(
        "--policy-file", type=Path, help="JSON policy for every watched cgroup; read anew when it changes"
    )
    parser.add_argument(
        "--policies-from-cluster",
        action="store_true",
        help="read MemoryPolicies from the API server, and write this node's NodeMemory",
    )
    parser.add_argument("--kube-node", default="", help="name of this Kubernetes node")
    parser.add_argument(
        "--node-resource-topology",
        action="store_true",
        help="besides NodeMemory, write its NUMA nodes as NodeResourceTopology where nobody else does",
    )
    parser.add_argument(
        "--own-namespaces",
        type=lambda text: frozenset(text.split(",")),
        default="plimsoll-system",
        help="Plimsoll's own, separated by commas: no cluster-wide policy applies (default: %(default)s)",
    )
    parser.add_argument(
        "--page-policy",
        default="",
        choices=["", *POLICY_NAMES],
        help="how cold memory is told; empty: as each policy's mode says",
    )
    parser.add_argument(
        "--looks-cpu",
        type=cpu_share,
        default=COST_RATIO,
        metavar="SHARE",
        help="of one processor, for looks by address; with less it learns more slowly (default: %(default)s)",
    )
    parser.add_argument(
        "--pressure-predictor",
        default=DEFAULT_PREDICTOR,
        choices=PREDICTOR_NAMES,
        help="who forecasts pressure; all but the default are for comparing (default: %(default)s)",
    )
    parser.add_argument(
        "--state-dir", type=Path, default=DEFAULT_STATE, help="journal and models (default: %(default)s)"
    )
    parser.add_argument(
        "--socket", type=Path, help=f"local socket for set-policy and mempred, for example {DEFAULT_SOCKET}"
    )


def operator_flags(parser: argparse.ArgumentParser) -> None:
    """Where the operator is, and who the agent is to it."""
    parser.add_argument(
        "--operator-address",
        default="",
        metavar="HOST:PORT",
        help="attend the operator there: samples to it, leases and shrinks from it (default: work alone)",
    )
    parser.add_argument(
        "--policies-from-operator",
        action="store_true",
        help="be told policies by the operator and read none, and write this node's NodeMemory",
    )
    parser.add_argument(
        "--operator-server-name", default="", help="name in the operator's certificate; empty: the address'"
    )
    parser.add_argument(
        "--operator-identity-dir",
        type=Path,
        default=DEFAULT_IDENTITY,
        help="directory with tls.crt, tls.key and ca.crt (default: %(default)s)",
    )
    parser.add_argument(
        "--operator-token-file",
        type=Path,
        default=DEFAULT_TOKEN,
        help="token of the agent's service account, for the operator (default: %(default)s)",
    )
    parser.add_argument(
        "--models-interval",
        type=seconds,
        default=SAY_SECONDS,
        help="time between two words to the operator on what was learned of an image; at most a minute"
        " while two models are compared (default: 10m)",
    )
