"""`plimsoll-agent`: watch this node's containers (`run`), or show once what there is (`status`).

In: flags. Out: a process that serves /metrics, /healthz and /readyz until SIGTERM or SIGINT, or a table. It
writes to the kernel only with `--act`, and takes back at its end what it has set. Exit code 1: it cannot
listen, or some of what it should show cannot be read; 2: this host cannot be watched (cgroup v1), output that
cannot be written, or flags that make no sense; 3: it cannot act, for it could not take back what it sets. One
sentence says which.
"""

import argparse
import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from plimsoll_nodeagent.act.actor import boot_id
from plimsoll_nodeagent.act.damon import noted
from plimsoll_nodeagent.act.journal import Journal, TakenError, alone
from plimsoll_nodeagent.agent import Agent
from plimsoll_nodeagent.assemble import assemble, tracker_of
from plimsoll_nodeagent.control.kubeapi import ApiError
from plimsoll_nodeagent.control.models import ModelStore
from plimsoll_nodeagent.control.node_limits import limits_now
from plimsoll_nodeagent.discover.hierarchy import unusable
from plimsoll_nodeagent.flags import (
    DEFAULT_STATE,
    acting_flags,
    operator_flags,
    port,
    seconds,
    shared_flags,
)
from plimsoll_nodeagent.kernelfs import KernelFs, Mode
from plimsoll_nodeagent.loop import Watch
from plimsoll_nodeagent.sample.probe import find_capabilities
from plimsoll_nodeagent.serve.exposition import Exposition
from plimsoll_nodeagent.serve.http import AgentServer, Health
from plimsoll_nodeagent.serve.local import LocalDoor
from plimsoll_nodeagent.serve.logs import configure_logs
from plimsoll_nodeagent.status import as_json, as_table
from plimsoll_nodeagent.tools import add_tools, sentence

if TYPE_CHECKING:
    from plimsoll_nodeagent.coordinate.assemble import Accompanied

logger = logging.getLogger(__name__)

CANNOT_LISTEN = 1
CANNOT_WATCH = 2
CANNOT_PRINT = 2
UNREAD = 1
OF_A_STREAM = frozenset({errno.ENOSPC, errno.EPIPE, errno.EBADF, errno.EIO, errno.EFBIG, errno.EDQUOT})
STOPPED = 130  # what shells say of Ctrl-C
DEFAULT_PORT = 9477
DEFAULT_INTERVAL_SECONDS = 10.0
STUCK_INTERVALS = 6.0  # a loop that has ended no tick for so many intervals is restarted by its probe
LEAST_STUCK_SECONDS = 60.0
HEED_SECONDS = 1.0  # leases and triggers are looked after at least so often
Waits = Callable[[float], bool]


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


def waiting(agent: Agent, stop: threading.Event, monotonic: Callable[[], float] = time.monotonic) -> Waits:
    """A wait that listens to PSI meanwhile, and looks at least once a second."""

    failed = False

    def wait(seconds: float) -> bool:
        nonlocal failed
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0.0 and not stop.is_set():
            listens = agent.triggers is not None and len(agent.triggers) > 0
            step = min(left, HEED_SECONDS)
            try:
                agent.heed(step, time.time)
            except Exception:
                if not failed:
                    logger.exception("looking on between two ticks failed; it is tried again each second")
                failed, listens = True, False  # it may have come back at once
            if not listens and stop.wait(step):
                break
        return stop.is_set()

    return wait


def ended_by_signals(agent: Agent) -> threading.Event:
    """Set by SIGTERM and SIGINT; from then on no step of an action is begun."""
    stop = threading.Event()
    agent.reclaimer.brake.ended = stop.is_set
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def accompanied(options: argparse.Namespace, agent: Agent) -> "Accompanied | None":
    """Coordination with the operator, where its address is given. Raises ValueError for a flag that lacks."""
    if not options.operator_address:
        return None
    from plimsoll_nodeagent.coordinate.assemble import accompany  # noqa: PLC0415 -- loads gRPC, 20 MB

    return accompany(options, agent)


def run(options: argparse.Namespace) -> int:
    """Watch, act as far as mode and policies allow, and serve, until a signal comes."""
    configure_logs(options.log_level)
    with ExitStack() as held:
        if Mode(options.mode) is Mode.ACT:
            try:
                held.enter_context(alone(options.state_dir))
            except TakenError as error:
                logger.error("%s", error)  # noqa: TRY400 -- a sentence
                return CANNOT_WATCH
            except OSError as error:
                why = f"the state directory {options.state_dir} cannot be locked: {error.strerror}"
                logger.error("%s", why)  # noqa: TRY400 -- a sentence
                return CANNOT_WATCH
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    looks = KernelFs(options.root)
    if (why := unusable(looks, options.cgroup_root)) is not None:
        logger.error("%s", why)
        return CANNOT_WATCH
    try:
        made = assemble(options)
        beside = accompanied(options, made.agent)
    except (OSError, ValueError, KeyError, ApiError) as error:
        logger.error("%s", error.args[0] if isinstance(error, KeyError) else error)  # noqa: TRY400 -- a sentence
        return CANNOT_WATCH
    agent, watch = made.agent, made.agent.watch
    stuck_seconds = max(LEAST_STUCK_SECONDS, STUCK_INTERVALS * options.interval)
    health = Health(stuck_seconds, lambda: watch.latest, cgroup_root=options.cgroup_root)
    exposition = Exposition(lambda: watch.latest, version("plimsoll"), lambda: agent.latest)
    try:
        server = AgentServer(options.address, options.port, exposition.text, health)
        door = None if options.socket is None else LocalDoor(options.socket, made.calls())
    except OSError as error:
        where = f"{options.address} port {options.port}"
        logger.error("cannot listen on %s: %s", error.filename or where, error.strerror)  # noqa: TRY400 -- a sentence
        return CANNOT_LISTEN
    stop = ended_by_signals(agent)
    server.start()
    if door is not None:
        door.start()
    if beside is not None:
        beside.start()
    logger.info(
        "watching", extra={"cgroup_root": options.cgroup_root, "port": server.port, "mode": options.mode}
    )

    def tick(now_seconds: float) -> None:
        agent.tick(now_seconds)
        made.save_models(now_seconds)

    with ExitStack() as last:  # whatever goes wrong, what is set is taken back
        last.callback(server.close)
        if door is not None:
            last.callback(door.close)
        last.callback(agent.close)
        if beside is not None:
            last.callback(beside.close)
        last.callback(lambda: made.save_models(time.time(), at_once=True))
        keep_watching(tick, health.beat, options.interval, waiting(agent, stop))
    logger.info("ended")
    return 0


def status(options: argparse.Namespace) -> int:
    """Look once and print; what was named and is not there, or cannot be read, is said beside it."""
    fs = KernelFs(options.root)
    why = unusable(fs, options.cgroup_root)
    try:
        tracker = tracker_of(fs, options)
    except ValueError as error:
        print(f"--cgroup: {error}", file=sys.stderr)
        return CANNOT_WATCH
    watch = Watch(fs, options.cgroup_root, options.most_containers, tracker=tracker)
    snapshot = None if why else watch.tick(time.time())
    missing = tracker.missing() if tracker is not None and not why else []
    for path in missing:
        print(f"--cgroup {path}: there is no such cgroup with the memory controller", file=sys.stderr)
    if snapshot is None or (missing and not snapshot.samples):
        none_yet = f"No cgroup under {options.cgroup_root} has the memory controller."
        if not missing:
            print(why or none_yet, file=sys.stderr)
        return CANNOT_WATCH
    records = Journal.of_another(options.state_dir / "journal")  # of the agent that runs here, if one does
    found = find_capabilities(fs, options.cgroup_root, lambda: noted(fs, records, boot_id(fs)))
    found = found.limited(limits_now(fs, snapshot))
    models = ModelStore(options.state_dir / "models").load()
    told = as_json if options.output == "json" else as_table
    print(told(snapshot, found, models), end="")
    unread = watch.unread()
    for path in unread:
        print(f"the memory of {path} cannot be read", file=sys.stderr)
    return UNREAD if missing or unread else 0


def parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    shared = shared_flags()
    whole = argparse.ArgumentParser(
        prog="plimsoll-agent", description="Watches and reclaims the memory of a node's containers."
    )
    whole.add_argument("--version", action="version", version=version("plimsoll"))
    commands = whole.add_subparsers(dest="command", required=True)
    running = commands.add_parser(
        "run", parents=[shared], help="watch, act as policies say, and serve /metrics, /healthz and /readyz"
    )
    running.add_argument("--address", default="0.0.0.0", help="address to listen on (default: %(default)s)")  # noqa: S104 -- scraped and probed from outside the pod
    running.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="port; 0: any (default: %(default)s)"
    )
    running.add_argument(
        "--interval",
        type=seconds,
        default=DEFAULT_INTERVAL_SECONDS,
        help="time between two looks (default: 10s)",
    )
    running.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(default: info)"
    )
    acting_flags(running)
    operator_flags(running)
    running.set_defaults(call=run)
    showing = commands.add_parser("status", parents=[shared], help="look once and print a table")
    showing.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="(default: table)"
    )
    showing.add_argument(
        "--state-dir",
        type=Path,
        default=DEFAULT_STATE,
        help="where the agent keeps its models (default: %(default)s)",
    )
    showing.set_defaults(call=status)
    add_tools(commands, shared)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit code."""
    whole = parser()
    options = whole.parse_args(arguments)
    root: Path | None = getattr(options, "root", None)
    if root is not None and not root.is_dir():
        whole.error(f"--root {root}: there is no such directory")
    try:
        code = int(options.call(options))
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("plimsoll-agent: stopped", file=sys.stderr)
        return STOPPED
    except OSError as error:
        return _cannot_print(error)
    return code


def _cannot_print(error: OSError) -> int:
    """Say that standard output took no more, and see to it that the interpreter does not say so again."""
    if error.filename is None and error.errno in OF_A_STREAM:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # `| head` has what it wanted
            print(f"plimsoll-agent: cannot write the output: {sentence(error)}", file=sys.stderr)
        return CANNOT_PRINT
    print(f"plimsoll-agent: {sentence(error)}", file=sys.stderr)
    return CANNOT_WATCH


if __name__ == "__main__":
    raise SystemExit(main())
