"""Recommendations, shapes and loads of the rows that are due, by chunks.

In: the round of a tick, the rows. Out: what the round carries on.
"""

from dataclasses import dataclass, replace

from plimsoll.forecast.window import UsageWindow, chunks
from plimsoll.recommend.recommendation import Recommendations, joined
from plimsoll.usage.sample import Float64Array
from plimsoll_operator.engine.kin import Kin
from plimsoll_operator.engine.loads import LoadDesk
from plimsoll_operator.engine.messages import RowShapes
from plimsoll_operator.engine.round import Round
from plimsoll_operator.engine.rows import RowArray, RowTable, Store
from plimsoll_operator.engine.shapes import Shapes, joined_shapes


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides about rows."""

    rows: RowTable
    kin: Kin
    shapes: Shapes
    loads: LoadDesk

    def decide(self, made: Round, requested: Float64Array | None, *, everything: bool) -> None:
        """Recommendations and shapes of what is due, by chunks: each row's past is read once for all.

        `requested` by row: loads are wanted, too.
        """
        decided: list[Recommendations] = []
        seen: list[RowShapes] = []
        due = made.usage.rows
        with made.stage("recommend"):
            due = due if everything else self.rows.due(due, made.now_seconds)
        for mine, store in self.rows.by_store(due):
            for part in chunks(len(mine)):
                window = self._chunk(made, mine[part], store, decided, seen)
                if window is not None and requested is not None:
                    with made.stage("loads", holds=False):
                        asked = requested[mine[part]]
                        self.loads.look(mine[part], window.hourly_bytes, asked, made.now_seconds)
        with made.stage("shapes"):
            made.shapes = joined_shapes(seen)
        if decided:
            made.recommendations = joined(decided)

    def _chunk(
        self, made: Round, rows: RowArray, store: Store, decided: list[Recommendations], seen: list[RowShapes]
    ) -> UsageWindow | None:
        places, window = self.rows.places(rows), None
        with made.stage("recommend"):
            window = store.pipeline.look(places, made.now_seconds)
            relatives = self.kin.steps_for(rows, self.rows, store, made.now_seconds)
            store.pipeline.observe_relatives(relatives)
            decided.append(replace(store.pipeline.decide_seen(window, made.now_seconds), rows=rows))
            self.rows.decided(rows, made.now_seconds)
            if len(store.prophet):
                made.stand_ins |= _stand_ins(rows, places, store)
        with made.stage("shapes"):
            if window is not None:
                starts = store.history.starts(places)
                seen.append(self.shapes.look(rows, window, starts, made.now_seconds))
        return window

    def load(self, made: Round, requested: Float64Array) -> None:
        """What placement goes by: loads of rows that were due or have none yet."""
        with made.stage("loads", holds=False):
            late = self.rows.by_store(self.loads.late(made.usage.rows))
            self.loads.catch_up(late, self.rows.places, requested, made.now_seconds)
            made.loads = self.loads.take()


def _stand_ins(rows: RowArray, places: RowArray, store: Store) -> dict[int, str]:
    """Of rows [n] that ask for Prophet and have no answer of it yet: why."""
    asked = zip(rows.tolist(), map(store.prophet.state, places.tolist()), strict=True)
    return {row: known.state for row, known in asked if known is not None and known.state}
