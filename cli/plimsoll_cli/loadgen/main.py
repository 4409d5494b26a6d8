"""`plimsoll-loadgen`: many simulated agents on one operator, and what they saw of it as JSON.

In: an operator's address, certificates, how many agents and for how long. Out: one JSON document on standard
output. Tokens are made from a template, so it speaks with an operator that knows them: `bench/coord.py`'s, or
one whose API server was given such tokens. It is for measuring and holds nothing back; do not point it at an
operator that is in use.
"""

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence
from heapq import merge
from pathlib import Path

import numpy as np

from plimsoll_cli.loadgen.processes import AGENTS_OF_PROCESS, LostError, TooManyError, attended
from plimsoll_cli.loadgen.share import Part
from plimsoll_nodeagent.coordinate.identity import AUTHORITY, CERTIFICATE, KEY

IDENTITY = (CERTIFICATE, KEY, AUTHORITY)
LAST_PORT = 65_535


def summary(parts: Sequence[Part]) -> dict[str, object]:
    """What all agents saw together; moments are of the machine's monotonic clock, seconds."""
    round_trips = sorted(each for part in parts for each in part.round_trips)
    trips = np.array([took for _, took in round_trips])
    failures: dict[str, int] = {}
    for part in parts:
        for kind, number in part.failures.items():
            failures[kind] = failures.get(kind, 0) + number
    return {
        "agents": sum(part.agents for part in parts),
        "processes": len(parts),
        "silent_at": min(part.silent_at for part in parts),
        "attending": attending(parts),
        "streams": sum(part.streams for part in parts),
        "samples": sum(part.samples for part in parts),
        "samples_given_up": sum(part.samples_given_up for part in parts),
        "refused_offers": sum(part.refused_offers for part in parts),
        "leases_asked": sum(part.leases_asked for part in parts),
        "leases": len(trips),
        "granted": sum(part.granted for part in parts),
        "lease_p50_ms": float(np.percentile(trips, 50)) * 1e3 if len(trips) else None,
        "lease_p99_ms": float(np.percentile(trips, 99)) * 1e3 if len(trips) else None,
        "round_trips": round_trips,
        "deltas": [each for part in parts for each in part.deltas],
        "deltas_waiting": [each for part in parts for each in part.deltas_waiting],
        "failures": failures,
        "cpu_seconds": round(sum(part.cpu_seconds for part in parts), 2),
    }


def attending(parts: Sequence[Part]) -> list[tuple[float, int]]:
    """How many attended in all, each time that this changed."""
    changes = merge(*([(at, place, now) for at, now in part.changes] for place, part in enumerate(parts)))
    latest, found = [0] * len(parts), list[tuple[float, int]]()
    for at, place, now in changes:
        latest[place] = now
        if found and found[-1][0] == at:
            found.pop()
        if not found or found[-1][1] != sum(latest):
            found.append((at, sum(latest)))
    return found


def whole(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def seconds(text: str) -> float:
    """Read a time that is not below zero."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0.0 <= found < math.inf:  # false for NaN, too
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return found


def rate(text: str) -> float:
    """Read a rate above zero."""
    if not (found := seconds(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not above zero")
    return found


def address(text: str) -> str:
    """Read HOST:PORT, with gRPC's own prefixes where there are any (`dns:///`)."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return text


def identity(text: str) -> Path:
    """Read a directory that has what an agent shows."""
    for name in IDENTITY:
        try:
            Path(text, name).read_bytes()
        except OSError as error:
            raise argparse.ArgumentTypeError(f"{text}/{name}: {error.strerror or error}") from error
    return Path(text)


def parser() -> argparse.ArgumentParser:
    """The flags."""
    flags = argparse.ArgumentParser(prog="plimsoll-loadgen", description="Simulated node agents.")
    flags.add_argument("--operator-address", type=address, required=True, metavar="HOST:PORT")
    flags.add_argument("--identity-dir", type=identity, required=True, help=f"has {', '.join(IDENTITY)}")
    flags.add_argument("--token-template", default="loadgen-{number}", help="(default: %(default)s)")
    flags.add_argument("--agents", type=whole, default=100)
    flags.add_argument(
        "--processes",
        type=int,
        default=0,
        help=f"that the agents are in (default: as many as open files want, and one for {AGENTS_OF_PROCESS})",
    )
    flags.add_argument("--containers", type=whole, default=30, help="of each agent (default: %(default)s)")
    flags.add_argument("--sample-seconds", type=seconds, default=1.0, help="0: none (default: %(default)s)")
    flags.add_argument("--lease-seconds", type=seconds, default=10.0, help="0: none (default: %(default)s)")
    flags.add_argument("--delta-seconds", type=seconds, default=10.0, help="0: none (default: %(default)s)")
    flags.add_argument(
        "--seconds", type=seconds, default=30.0, help="how long, once all attend (default: %(default)s)"
    )
    flags.add_argument(
        "--starts-per-second", type=rate, default=200.0, help="of agents (default: %(default)s)"
    )
    flags.add_argument(
        "--starting-seconds",
        type=seconds,
        default=120.0,
        help="for the last to come in; then it goes on without them (default: %(default)s)",
    )
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script."""
    logging.basicConfig(level=logging.ERROR)  # what failed is counted
    flags = parser()
    options = flags.parse_args(arguments)
    try:
        parts = attended(options)
    except TooManyError as error:
        flags.error(str(error))
    except LostError as error:
        print(f"plimsoll-loadgen: {error}", file=sys.stderr)
        return 1
    seen = summary(parts)
    json.dump(seen, sys.stdout)
    print()
    if not any(now for _, now in attending(parts)):
        print(f"plimsoll-loadgen: no agent attended: {seen['failures']}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
