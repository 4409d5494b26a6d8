"""Flags that open the door: whether the agent may act, what it may only note, and where it finds the kernel.

In: parsed flags. Out: the door in its mode, and the actor with its journal. Without `--act` the door is
read-only and there is no actor, so that nothing needs a right. `--dry-run` acts on nothing and notes all.
"""

import argparse
import logging
import time
from pathlib import Path

from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.journal import Journal
from plimsoll_nodeagent.kernelfs import KernelFs, Mode

logger = logging.getLogger(__name__)

# On a tmpfs of the node: what is set in the kernel ends with a reboot, and so does what is written about it.
DEFAULT_STATE_DIRECTORY = Path("/run/plimsoll")


def mount(text: str) -> tuple[str, str]:
    """Read KERNEL=HERE, two absolute paths."""
    kernel_path, separator, here = text.partition("=")
    if not (separator and kernel_path.startswith("/") and here.startswith("/")):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no mount; write for example /sys/kernel/mm=/host/sys/kernel/mm"
        )
    return kernel_path.rstrip("/"), here.rstrip("/")


def add_acting_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a command's parser."""
    parser.add_argument(
        "--mount",
        type=mount,
        action="append",
        default=[],
        metavar="KERNEL=HERE",
        help="look for a part of the kernel's files elsewhere, where a pod has it mounted; may be repeated",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--act", action="store_true", help="act on containers whose policy says so (default: only watch)"
    )
    how.add_argument("--dry-run", action="store_true", help="note what would be done, and do nothing")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=DEFAULT_STATE_DIRECTORY,
        help="where it is written down what is set in the kernel, to be taken back (default: %(default)s)",
    )


def open_door(options: argparse.Namespace) -> KernelFs:
    """Open the kernel's files in the mode that the flags ask for."""
    mode = Mode.ACT if options.act else Mode.DRY_RUN if options.dry_run else Mode.READ
    return KernelFs(options.root, mode, mounts=dict(options.mount))


def open_actor(options: argparse.Namespace, fs: KernelFs) -> Actor | None:
    """Open the journal, and take back what a predecessor left; None where the agent only watches.

    Raises OSError where the journal cannot be had: an agent that acts without one must not run.
    """
    if fs.mode is Mode.READ:
        return None
    actor = Actor(fs, Journal(options.state_dir), time.monotonic)
    found = actor.recover() if fs.mode is Mode.ACT else {}
    logger.info("may act", extra={"mode": fs.mode.value, "taken_back": len(found)})
    return actor
