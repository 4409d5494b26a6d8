"""The console script `plimsoll-worker`.

In: flags. Out: the worker; without Redis' client one sentence that names the extra, and exit code 1.
"""

from plimsoll.install import install_hint


def main() -> int:
    """Run the worker, if what it needs is installed."""
    try:
        from plimsoll_operator.forecasters.worker import main as run  # noqa: PLC0415 - what may not be there
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("plimsoll"):
            raise
        hint = install_hint("operator", "redis", "forecast")
        raise SystemExit(f"plimsoll-worker: {hint} (there is no module {error.name})") from error
    return run()
