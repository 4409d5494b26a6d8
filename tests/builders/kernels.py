"""Compiled page replays, with their cache where the command line keeps it."""

from types import ModuleType

from plimsoll_cli.traces.page_kernels import page_replays


def page_kernels(module: str = "plimsoll.replay.pages") -> ModuleType:
    """The module, imported after numba was told where to keep what it compiles."""
    return page_replays("the tests", module)
