"""Which rows are of a kind, so that a young one hears what those did that are older.

In: for each row a word that relatives share (image without its version, kind of owner, container name). Out:
for young rows the steps of relatives that have a past (`plimsoll.recommend.relatives`), gathered once an hour
a kind; where none has one here, those that the fleet's memory knows of that kind. Only rows of the same
quantity are compared; a cluster without old rows pays nothing.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from plimsoll.recommend.relatives import YOUNG_HOURS, Steps, steps_of
from plimsoll.usage.sample import HOUR_SECONDS
from plimsoll.workload import image_name
from plimsoll_operator.engine.rows import RowArray, RowTable, Store

MOST_RELATIVES = 8  # that are listened to; more of a kind hardly say anything new
YOUNG_SECONDS = float(YOUNG_HOURS * HOUR_SECONDS)


def kin_of(image: str, owner_kind: str, container: str) -> str:
    """The word that relatives share; "" where the image is not known: nobody is related then."""
    name = image_name(image)
    return f"{name} {owner_kind} {container}" if name else ""


def image_code(image: str) -> int:
    """A code of an image, version and all, by which a rollout is noticed; 0 where it is not known."""
    return zlib.crc32(image.encode()) if image else 0


class Kin:
    """The rows of each kind."""

    def __init__(self) -> None:
        self._kind: dict[int, str] = {}
        self._rows: dict[str, set[int]] = defaultdict(set)
        self._steps: dict[tuple[str, str], tuple[float, Steps]] = {}  # (kind, quantity) -> made at, steps
        self._remembered: dict[tuple[str, str], Steps] = {}  # by others, elsewhere or before

    def tell(self, row: int, kind: str) -> None:
        """A row is of this kind."""
        if self._kind.get(row, "") == kind:
            return
        self.forget((row,))
        if kind:
            self._kind[row] = kind
            self._rows[kind].add(row)

    def forget(self, rows: Iterable[int]) -> None:
        """Rows were freed or given to another container."""
        for row in rows:
            kind = self._kind.pop(row, "")
            if not kind:
                continue
            self._rows[kind].discard(row)
            if not self._rows[kind]:
                del self._rows[kind]
                for known in (self._steps, self._remembered):
                    for key in [each for each in known if each[0] == kind]:
                        del known[key]

    def remember(self, steps: Mapping[str, Steps], quantity: str) -> None:
        """What relatives of these kinds did elsewhere; of a kind that has no row here it is no use."""
        for kind, each in steps.items():
            if kind in self._rows:
                self._remembered[kind, quantity] = each
                self._steps.pop((kind, quantity), None)

    def steps_for(
        self, rows: RowArray, table: RowTable, store: Store, now_seconds: float
    ) -> dict[int, Steps]:
        """Steps of relatives, by place in the store, for those of its `rows` that are young."""
        places = table.places(rows)
        young = np.flatnonzero(~_old(store, places, now_seconds))
        return {
            int(places[index]): self._gathered(self._kind[int(rows[index])], table, store, now_seconds)
            for index in young.tolist()
            if int(rows[index]) in self._kind
        }

    def _gathered(self, kind: str, table: RowTable, store: Store, now_seconds: float) -> Steps:
        key = (kind, str(store.history.quantity))
        made, steps = self._steps.get(key, (-np.inf, steps_of([])))
        if not 0 <= now_seconds - made < HOUR_SECONDS:
            related = np.array(sorted(self._rows[kind]), dtype=np.int32)
            places = table.places(table.of_quantity(related, store.history.quantity))
            old = places[_old(store, places, now_seconds)][:MOST_RELATIVES]
            steps = steps_of(store.history.hourly(old)[:, :-1])  # the hour that runs is no peak yet
            if not len(steps):
                steps = self._remembered.get(key, steps)
            self._steps[key] = (now_seconds, steps)
        return steps


def _old(store: Store, places: RowArray, now_seconds: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Places that were first seen long enough ago to stand alone."""
    first = store.history.first_seen_seconds(places)
    with np.errstate(invalid="ignore"):
        return np.asarray(now_seconds - first > YOUNG_SECONDS)
