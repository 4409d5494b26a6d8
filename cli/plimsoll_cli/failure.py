"""What a command raises when it cannot go on: one sentence for the person, no traceback.

Exit status 1: what was asked for cannot be done. Exit status 2: an option has a wrong value, or a
file, a cluster or Prometheus did not give what was needed: a script can tell a wrong answer from none.
"""

from plimsoll.install import install_hint


class CommandError(Exception):
    """The message names the thing that failed."""

    status = 1


class OptionError(CommandError):
    """What was typed for an option is none of its values; the message names the option."""

    status = 2


class ClusterError(CommandError):
    """The cluster or Prometheus refused, failed or did not answer; the message names its address."""

    status = 2


class FileError(CommandError):
    """A file that was named cannot be read, written or understood; the message names it."""

    status = 2


OURS = frozenset({"plimsoll", "plimsoll_cli", "plimsoll_operator", "plimsoll_nodeagent"})


class ExtraNeededError(CommandError):
    """What was asked for needs packages that the base install leaves out."""

    def __init__(self, what: str, extra: str, module: str) -> None:
        hint = install_hint(extra)
        super().__init__(f"{what} needs the extra `{extra}`: {hint} (there is no module {module})")


def extra_needed(error: ModuleNotFoundError, what: str, extra: str) -> ExtraNeededError | None:
    """The failure that a missing module means; None where it is one of ours, which is a fault."""
    module = (error.name or "").partition(".")[0]
    return ExtraNeededError(what, extra, module) if module and module not in OURS else None
