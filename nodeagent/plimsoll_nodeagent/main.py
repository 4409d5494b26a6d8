"""`plimsoll-agent`: watch this node's containers (`run`), or show once what there is (`status`).

In: flags. Out: a process that serves /metrics, /healthz and /readyz until SIGTERM or SIGINT, or a table. It
writes to the kernel only with `--act`, and takes back at its end what it has set. Exit code 2: this host
cannot be watched (cgroup v1), or flags that make no sense; 3: it cannot act, for it could not take back what
it sets; one sentence says which.
"""

import argparse
import logging
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from plimsoll_nodeagent.act.options import add_acting_flags, open_actor, open_door
from plimsoll_nodeagent.discover.hierarchy import DEFAULT_CGROUP_ROOT, unusable
from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.loop import MOST_CONTAINERS, Watch
from plimsoll_nodeagent.serve.exposition import Exposition
from plimsoll_nodeagent.serve.http import AgentServer, Health
from plimsoll_nodeagent.serve.logs import configure_logs
from plimsoll_nodeagent.status import as_json, as_table

logger = logging.getLogger(__name__)

CANNOT_LISTEN = 1
CANNOT_WATCH = 2
CANNOT_ACT = 3
DEFAULT_PORT = 9477
DEFAULT_INTERVAL_SECONDS = 10.0
STUCK_INTERVALS = 6.0  # a loop that has ended no tick for so many intervals is restarted by its probe
LEAST_STUCK_SECONDS = 60.0
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


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


def keep_watching(
    tick: Callable[[float], object],
    beat: Callable[[], None],
    interval_seconds: float,
    stopped: Callable[[float], bool],
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Tick at an even pace until `stopped(seconds)`, which waits, is True; a tick that fails is logged."""
    due = monotonic()
    while True:
        try:
            tick(now())
            beat()
        except Exception:
            logger.exception("a tick failed; what was sampled before is kept")
        # The pace is kept, but ticks that were missed are not made up for.
        due = max(due + interval_seconds, monotonic())
        if stopped(due - monotonic()):
            return


def run(options: argparse.Namespace) -> int:
    """Watch and serve until a signal comes."""
    configure_logs(options.log_level)
    fs = open_door(options)
    if (why := unusable(fs, options.cgroup_root)) is not None:
        logger.error("%s", why)
        return CANNOT_WATCH
    watch = Watch(fs, options.cgroup_root, options.most_containers)
    try:
        actor = open_actor(options, fs)
    except OSError as error:
        why = error.strerror or str(error)
        logger.error("cannot act without %s: %s", options.state_dir, why)  # noqa: TRY400 -- a sentence
        return CANNOT_ACT
    stuck_seconds = max(LEAST_STUCK_SECONDS, STUCK_INTERVALS * options.interval)
    health = Health(stuck_seconds, lambda: watch.latest, cgroup_root=options.cgroup_root)
    exposition = Exposition(lambda: watch.latest, version("plimsoll"))
    try:
        server = AgentServer(options.address, options.port, exposition.text, health)
    except OSError as error:
        why = error.strerror
        logger.error("cannot listen on %s port %d: %s", options.address, options.port, why)  # noqa: TRY400 -- a sentence
        return CANNOT_LISTEN
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    logger.info("watching", extra={"cgroup_root": options.cgroup_root, "port": server.port})
    keep_watching(watch.tick, health.beat, options.interval, stop.wait)
    if actor is not None:
        actor.close()
    server.close()
    logger.info("ended")
    return 0


def status(options: argparse.Namespace) -> int:
    """Look once and print."""
    fs = KernelFs(options.root)
    why = unusable(fs, options.cgroup_root)
    snapshot = None if why else Watch(fs, options.cgroup_root, options.most_containers).tick(time.time())
    if snapshot is None:
        none_yet = f"No cgroup under {options.cgroup_root} has the memory controller."
        print(why or none_yet, file=sys.stderr)
        return CANNOT_WATCH
    print(as_json(snapshot) if options.output == "json" else as_table(snapshot), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    shared.add_argument("--root", type=Path, default=Path("/"), help="where /proc and /sys are (default: /)")
    shared.add_argument(
        "--cgroup-root",
        default=DEFAULT_CGROUP_ROOT,
        help="cgroup v2 hierarchy under --root, or the kubelet's cgroup in it (default: %(default)s)",
    )
    shared.add_argument(
        "--most-containers",
        type=positive,
        default=MOST_CONTAINERS,
        help="sample no more containers than this: bounds memory and series (default: %(default)s)",
    )
    parser = argparse.ArgumentParser(
        prog="plimsoll-agent", description="Watches the memory of a node's containers."
    )
    parser.add_argument("--version", action="version", version=version("plimsoll"))
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser(
        "run", parents=[shared], help="watch and serve /metrics, /healthz and /readyz"
    )
    running.add_argument("--address", default="0.0.0.0", help="address to listen on (default: %(default)s)")  # noqa: S104 -- scraped and probed from outside the pod
    running.add_argument("--port", type=int, default=DEFAULT_PORT, help="port; 0: any (default: %(default)s)")
    running.add_argument(
        "--interval",
        type=seconds,
        default=DEFAULT_INTERVAL_SECONDS,
        help="time between two looks (default: 10s)",
    )
    running.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(default: info)"
    )
    add_acting_flags(running)
    running.set_defaults(call=run)
    showing = commands.add_parser("status", parents=[shared], help="look once and print a table")
    showing.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="(default: table)"
    )
    showing.set_defaults(call=status)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit code."""
    options = _parser().parse_args(arguments)
    return int(options.call(options))


if __name__ == "__main__":
    raise SystemExit(main())
