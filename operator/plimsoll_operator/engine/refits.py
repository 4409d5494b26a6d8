"""The engine's own weights: desks by quantity, and the file they outlive the process in.

In: the setting's path. Out: a desk for each store that asks, with the weights of the file; what refits said,
in words, and a file that follows them. Without a path, or without workers (of this machine or at a Redis),
there are no desks: nothing is learned, nothing is kept.
"""

import logging
from pathlib import Path

from plimsoll.forecast.own import OwnWeights
from plimsoll.forecast.refit_desk import RefitDesk
from plimsoll.guard.limits import GuardSettings
from plimsoll.recommend.lessons import LessonBook
from plimsoll.usage.sample import Quantity
from plimsoll_operator.forecasters.own_file import OwnFileError, read_own, write_own

log = logging.getLogger(__name__)


class Refits:
    """Of all stores of an engine."""

    def __init__(self, path: str, guard: GuardSettings, *, workers: bool) -> None:
        """`workers`: there is somebody to refit."""
        self._path = Path(path) if path and workers else None
        self._guard = guard
        self._desks: dict[Quantity, RefitDesk] = {}
        self._told: dict[Quantity, str] = {}
        self._found: dict[str, OwnWeights] = {}
        if path and not workers:
            log.warning("own weights are refitted by forecast workers; there are none")
        if self._path is not None:
            try:
                self._found = read_own(self._path)
            except (OwnFileError, OSError) as error:
                log.warning("own weights are not used; those that ship are", extra={"reason": str(error)})

    @property
    def desks(self) -> tuple[RefitDesk, ...]:
        """Those there are."""
        return tuple(self._desks.values())

    def desk(self, quantity: Quantity) -> RefitDesk | None:
        """The desk of a store that is made now."""
        if self._path is None:
            return None
        desk = self._desks[quantity] = RefitDesk(LessonBook(self._guard))
        desk.use(self._found.get(quantity.value))
        return desk

    def keep(self) -> list[str]:
        """Write down what has changed; return what there is to say of it."""
        said = {quantity: desk.verdict for quantity, desk in self._desks.items()}
        new = [
            f"forecast of {quantity}: {text}"
            for quantity, text in said.items()
            if text != self._told.get(quantity, "")
        ]
        if not new or self._path is None:
            return []
        self._told = said
        own = {quantity.value: desk.own for quantity, desk in self._desks.items() if desk.own is not None}
        try:
            write_own(self._path, own)
        except OSError as error:
            new.append(f"own weights are used but cannot be kept: {error}")
        return new
