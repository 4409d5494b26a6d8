"""The console script `plimsoll-agent`, also `python -m plimsoll_nodeagent`.

In: flags. Out: the node agent; on a base install, which lacks the client of Prometheus, one sentence that
names the extra, and exit code 1.
"""

from plimsoll.install import install_hint


def main() -> int:
    """Run the agent, if what it needs is installed."""
    try:
        from plimsoll_nodeagent.main import main as run  # noqa: PLC0415 - what may not be there
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("plimsoll"):
            raise
        hint = install_hint("agent")
        raise SystemExit(
            f"plimsoll-agent needs the extra `agent`: {hint} (there is no module {error.name})"
        ) from error
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
