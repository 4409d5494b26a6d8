"""The console scripts `plimsoll` and `kubectl-plimsoll`.

In: what was typed. Out: the command line; Ctrl-C while its modules are still being read ends it as quietly
as later on, with the shell's own status for that.
"""

INTERRUPTED = 130


def main() -> None:
    """Read the command line's modules and run it."""
    try:
        from plimsoll_cli.main import main as run  # noqa: PLC0415 - what takes a while

        run()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
