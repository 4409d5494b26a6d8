"""The names of who may work a replay off. Apart from `tasks.py`, so that `plimsoll --help` loads nothing."""

from enum import StrEnum


class Engine(StrEnum):
    """Who works the tasks of a replay off."""

    PROCESSES = "processes"
    DASK = "dask"
