"""Needed memory in the engine: which rows ask for it, what their agents said, what their histories are told.

In: members' policies, the agents' words, samples of one store. Out: what of the samples is needed, and for
each row what its limit is made for (`usage.needed.Basis`). The rules are the core's; here words find their
slots, and pods their row: of several pods the least certain speaks for all.
"""

import math
from collections.abc import Iterable

import numpy as np

from plimsoll.usage.grown import grown, rows_up_to
from plimsoll.usage.needed import FRESH_SECONDS, Basis, CodeArray, Told, Word, basis_of, known, needed_of
from plimsoll.usage.sample import BoolArray, Float64Array, Quantity
from plimsoll_operator.engine.members import UNKNOWN, MemberTable, SlotArray
from plimsoll_operator.engine.messages import Member, Needs, RowBases
from plimsoll_operator.engine.rows import RowArray, RowTable, Store


class NeedDesk:
    """All rows of one engine whose policies ask for needed memory."""

    def __init__(self, members: MemberTable, rows: RowTable) -> None:
        self._members, self._rows = members, rows
        self._asks: BoolArray = np.zeros(0, dtype=np.bool_)  # by row: its policy asks for it
        self._told = {quantity: Told() for quantity in Quantity}  # by slot
        self._codes: CodeArray = np.zeros(0, dtype=np.int8)  # by slot, of this tick
        self._began_seconds = math.nan

    def sync(self, added: Iterable[Member], removed_slots: SlotArray) -> None:
        """Members that came (with what their policy asks), slots that others may now have."""
        for told in self._told.values():
            told.forget(removed_slots)
        asked = {member.row: member.policy.needed for member in added}
        rows = np.array(list(asked), dtype=np.int32)
        self._asks = grown(self._asks, rows_up_to(rows), False)
        self._asks[rows] = list(asked.values())

    def tell(self, needs: Needs) -> None:
        """What agents say."""
        slots = np.array([self._members.slot_of(uid) for uid in needs.uids], dtype=np.int64)
        here = np.flatnonzero(slots != UNKNOWN)
        for quantity, told in self._told.items():
            used = needs.usage_bytes if quantity == Quantity.USAGE else needs.working_set_bytes
            word = Word(needs.heard_seconds, used, needs.usage_bytes, needs.needed_bytes)
            told.take(slots[here], word.take(here))

    def begin(self, now_seconds: float) -> None:
        """A tick begins."""
        self._codes[:] = Basis.UNASKED
        if math.isnan(self._began_seconds):
            self._began_seconds = now_seconds

    def bases(self, stores: Iterable[tuple[RowArray, Store]], now_seconds: float) -> RowBases:
        """What the limits of rows are made for; told to the stores' pipelines, too."""
        found = [self._bases(rows, store, now_seconds) for rows, store in stores]
        found = [each for each in found if len(each.rows)]
        if not found:
            return RowBases()
        rows = np.concatenate([each.rows for each in found])
        order = np.argsort(rows)
        codes, needed = (
            np.concatenate([getattr(each, name) for each in found])[order]
            for name in ("codes", "needed_bytes")
        )
        return RowBases(rows[order], codes, needed)

    def of_samples(
        self,
        slots: SlotArray,
        sample_bytes: Float64Array,
        sample_seconds: Float64Array,
        otherwise: Float64Array,
        quantity: Quantity,
        now_seconds: float,
    ) -> Float64Array:
        """What a history is told of samples [n]; `otherwise` where the limit is made for usage.

        NaN where a word is awaited that the sample was not: it is told nothing.
        """
        self._codes = grown(self._codes, rows_up_to(slots), Basis.UNASKED)
        codes = np.where(slots >= 0, self._codes[slots], Basis.UNASKED)
        if not codes.any():
            return otherwise
        told = otherwise.astype(np.float64, copy=True)
        mine = np.flatnonzero(codes == Basis.NEEDED)
        word = self._told[quantity].of(slots[mine])
        told[mine] = needed_of(sample_bytes[mine], sample_seconds[mine], word, now_seconds)
        told[codes == Basis.AWAITED] = np.nan
        return told

    def held(self, bases: RowBases) -> RowArray:
        """Rows that hold: their histories are of needed memory, and what is needed now is not known."""
        unknown = np.isin(bases.codes, (Basis.STALE, Basis.AWAITED, Basis.UNTOLD, Basis.KILLED))
        rows = bases.rows[unknown].astype(np.int32)
        return np.array([row for row in rows.tolist() if self._holds_needed(row)], dtype=np.int32)

    def _holds_needed(self, row: int) -> bool:
        return bool(self._rows.store(row).pipeline.needed.known(self._rows.place(row))[0])

    def _bases(self, rows: RowArray, store: Store, now_seconds: float) -> RowBases:
        """Of the rows of one store; those whose policy asks for usage are told so, and left out."""
        self._asks = grown(self._asks, rows_up_to(rows), False)
        asking, past = self._asks[rows], store.pipeline.needed
        was = self._rows.places(rows[~asking])
        was = was[past.known(was)]
        past.observe(was, np.full(len(was), Basis.UNASKED, dtype=np.int8), now_seconds)
        mine = rows[asking]
        if not len(mine):
            return RowBases()
        codes, needed = self._of_members(mine, store, now_seconds)
        past.observe(self._rows.places(mine), codes, now_seconds)
        return RowBases(mine, codes, needed)

    def _of_members(self, rows: RowArray, store: Store, now_seconds: float) -> tuple[CodeArray, Float64Array]:
        """The highest code and the highest need over each row's live members; each member's code is kept."""
        slots, places = self._members.live(), self._rows.places(rows)
        slots = slots[np.isin(self._members.rows[slots], rows)]
        at = np.searchsorted(rows, self._members.rows[slots])
        killed = np.fmax.reduce(store.history.ooms(places).seconds, axis=1)
        # What has only just begun, operator or pod, may yet be told of.
        young = self._members.lived_seconds(slots, now_seconds) <= FRESH_SECONDS
        young |= now_seconds - self._began_seconds <= FRESH_SECONDS
        word = self._told[store.history.quantity].of(slots)
        said = basis_of(word, killed[at], young & store.pipeline.needed.known(places)[at], now_seconds)
        self._codes = grown(self._codes, rows_up_to(slots), Basis.UNASKED)
        self._codes[slots] = said
        codes = np.zeros(len(rows), dtype=np.int8)
        np.maximum.at(codes, at, said)
        needed, fresh = np.full(len(rows), np.nan), known(word, now_seconds)
        np.fmax.at(needed, at[fresh], word.needed_bytes[fresh])
        return codes, needed
