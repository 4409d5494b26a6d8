"""The console script `plimsoll-worker`.

In: flags. Out: the worker; without Redis' client one sentence that names the extra, and exit code 1.
"""


def main() -> int:
    """Run the worker, if what it needs is installed."""
    try:
        from plimsoll_operator.forecasters.worker import main as run  # noqa: PLC0415 - what may not be there
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("plimsoll"):
            raise
        install = "pip install 'plimsoll[operator,redis,forecast]'"
        raise SystemExit(f"plimsoll-worker: {install} (there is no module {error.name})") from error
    return run()
