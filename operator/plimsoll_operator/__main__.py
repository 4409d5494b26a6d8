"""The console script `plimsoll-operator`, also `python -m plimsoll_operator`.

In: flags. Out: the operator; on a base install, which lacks kopf and the clients of a cluster, one
sentence that names the extra, and exit code 1.
"""

from plimsoll.install import install_hint


def main() -> None:
    """Run the operator, if what it needs is installed."""
    try:
        from plimsoll_operator.main import main as run  # noqa: PLC0415 - what may not be there
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("plimsoll"):
            raise
        hint = install_hint("operator")
        raise SystemExit(
            f"plimsoll-operator needs the extra `operator`: {hint} (there is no module {error.name})"
        ) from error
    run()


if __name__ == "__main__":
    main()
