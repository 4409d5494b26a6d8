"""Needed memory in the engine: which rows ask for it, what their agents said, what their histories are told.

In: members' policies, the agents' words, samples of one store. Out: what of the samples is needed, and for
each row what its limit is made for (`usage.needed.Basis`), and whether that is still being found out
(`coordinate.sought`). The rules are the core's; here words find their slots, and pods their row: of several
pods the least certain speaks for all.
"""

import math
from collections.abc import Iterable

import numpy as np

from plimsoll.coordinate.sought import LONGEST_SECONDS, Searches
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
        self._unsure: Float64Array = np.empty(0)  # by slot: of what is needed; NaN: not said
        self._asked: BoolArray = np.zeros(0, dtype=np.bool_)  # by slot: its need has been asked for
        self._searches = Searches()  # by slot
        self._left: list[tuple[int, float]] = []  # rows whose members went during a search, and their need
        self._found: list[int] = []  # rows of which a search has ended since they were last asked for
        self._began_seconds = math.nan

    def sync(self, added: Iterable[Member], removed_slots: SlotArray) -> None:
        """Members that came (with what their policy asks), slots that others may now have."""
        added = list(added)
        unasked = [
            self._members.slot_of((each.pod_uid, each.container)) for each in added if not each.policy.needed
        ]
        over = np.array([*removed_slots, *unasked], dtype=np.int64)
        for told in self._told.values():
            told.forget(removed_slots)
        self._searches.end(over)
        self._grow(over)
        self._asked[over] = False
        self._unsure[over] = np.nan
        asked = {member.row: member.policy.needed for member in added}
        rows = np.array(list(asked), dtype=np.int32)
        self._asks = grown(self._asks, rows_up_to(rows), False)
        self._asks[rows] = list(asked.values())

    def leave(self, slots: SlotArray) -> None:
        """These members are about to go: what was not found out to be unneeded counts, in the next tick."""
        most = self._searches.most_bytes(slots)
        left = zip(self._members.rows[slots].tolist(), most.tolist(), strict=True)
        self._left += [(row, bytes_) for row, bytes_ in left if math.isfinite(bytes_)]

    def tell(self, needs: Needs) -> None:
        """What agents say."""
        slots = np.array([self._members.slot_of(uid) for uid in needs.uids], dtype=np.int64)
        here = np.flatnonzero(slots != UNKNOWN)
        for quantity, told in self._told.items():
            used = needs.usage_bytes if quantity == Quantity.USAGE else needs.working_set_bytes
            word = Word(needs.heard_seconds, used, needs.usage_bytes, needs.needed_bytes)
            told.take(slots[here], word.take(here))
        here = here[np.isfinite(needs.needed_bytes[here])]
        self._grow(slots[here])
        self._unsure[slots[here]] = needs.unsure_bytes[here]

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
        codes, needed, sought = (
            np.concatenate([getattr(each, name) for each in found])[order]
            for name in ("codes", "needed_bytes", "sought")
        )
        return RowBases(rows[order], codes, needed, sought)

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

        Where it is still being found out what is needed, what is needed in any case. NaN where a word is
        awaited that the sample was not, or where a search goes on without one: it is told nothing.
        """
        self._grow(slots)
        codes = np.where(slots >= 0, self._codes[slots], Basis.UNASKED)
        if not codes.any():
            return otherwise
        told = otherwise.astype(np.float64, copy=True)
        mine = np.flatnonzero(codes == Basis.NEEDED)
        word = self._told[quantity].of(slots[mine])
        most, used = np.full(len(slots), np.nan), np.full(len(slots), np.nan)
        most[mine] = needed_of(sample_bytes[mine], sample_seconds[mine], word, now_seconds)
        used[mine] = word.usage_bytes + most[mine] - word.needed_bytes  # with what grew since
        told[mine] = most[mine]
        sought = np.flatnonzero(codes != Basis.UNASKED)
        sought = sought[self._searches.going_on(slots[sought])]
        goes_on = self._searches.see(slots[sought], used[sought], sample_bytes[sought], now_seconds)
        self._found += self._members.rows[slots[sought[~goes_on]]].tolist()
        told[np.setdiff1d(np.flatnonzero(codes == Basis.AWAITED), sought[~goes_on])] = np.nan
        sought = sought[goes_on]
        unsure = np.fmax(np.where(codes == Basis.NEEDED, self._unsure[slots], np.nan), 0.0)[sought]
        told[sought] = np.maximum(most[sought] - np.nan_to_num(unsure), 0.0)
        return told

    def found(self, now_seconds: float) -> RowArray:
        """Rows of which it has been found out what is needed since this was last asked, or never will be; the
        histories of those are told.
        """
        left = [(row, bytes_) for row, bytes_ in self._left if self._rows.known(row)]
        for row, bytes_ in left:
            self._rows.store(row).history.append(self._rows.place(row), now_seconds, bytes_, now_seconds)
        found, self._left = sorted({*self._found, *(row for row, _ in left)}), []
        self._found = []
        return np.array(found, dtype=np.int32)

    def held(self, bases: RowBases) -> RowArray:
        """Rows that hold: what they need is about to be known, or their histories are of needed memory, and
        what is needed now is not known.
        """
        unknown = np.isin(bases.codes, (Basis.STALE, Basis.UNTOLD, Basis.KILLED))
        holds = bases.codes == Basis.AWAITED
        rows = bases.rows.tolist()
        holds[unknown] = [self._holds_needed(rows[place]) for place in np.flatnonzero(unknown).tolist()]
        return np.asarray(bases.rows[holds], dtype=np.int32)

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
        found = self._of_members(mine, store, now_seconds)
        past.observe(self._rows.places(mine), found.codes, now_seconds)
        return found

    def _of_members(self, rows: RowArray, store: Store, now_seconds: float) -> RowBases:
        """The highest code and the highest need over each row's live members, and whether one's is still
        being found out; each member's code is kept.
        """
        slots, places = self._members.live(), self._rows.places(rows)
        slots = slots[np.isin(self._members.rows[slots], rows)]
        at = np.searchsorted(rows, self._members.rows[slots])
        killed = np.fmax.reduce(store.history.ooms(places).seconds, axis=1)
        # What has only just begun, operator or pod, may yet be told of.
        young = self._members.lived_seconds(slots, now_seconds) <= FRESH_SECONDS
        young |= now_seconds - self._began_seconds <= FRESH_SECONDS
        self._grow(slots)
        self._begin(slots[~self._asked[slots]], now_seconds)
        word = self._told[store.history.quantity].of(slots)
        awaited = young & store.pipeline.needed.known(places)[at] | self._searches.awaits(slots, now_seconds)
        said = basis_of(word, killed[at], awaited, now_seconds)
        self._codes[slots] = said
        self._searches.end(slots[np.isin(said, (Basis.UNTOLD, Basis.KILLED))])
        codes = np.zeros(len(rows), dtype=np.int8)
        np.maximum.at(codes, at, said)
        needed, fresh = np.full(len(rows), np.nan), known(word, now_seconds)
        np.fmax.at(needed, at[fresh], word.needed_bytes[fresh])
        sought = np.zeros(len(rows), dtype=np.bool_)
        sought[at[self._searches.going_on(slots)]] = True
        return RowBases(rows, codes, needed, sought)

    def _begin(self, slots: SlotArray, now_seconds: float) -> None:
        """The need of these is asked for; it is known where it was found out before the operator started."""
        self._asked[slots] = True
        if now_seconds - self._began_seconds <= FRESH_SECONDS:
            since = np.array([self._since_seconds(row) for row in self._members.rows[slots].tolist()])
            slots = slots[~(now_seconds - since >= LONGEST_SECONDS)]
        self._searches.begin(slots, now_seconds)

    def _since_seconds(self, row: int) -> float:
        """Since when a row's history holds needed memory; NaN: it does not."""
        past = self._rows.store(row).pipeline.needed
        return past.learned(int(self._rows.place(row)[0])).get("since", math.nan)

    def _grow(self, slots: SlotArray) -> None:
        self._codes = grown(self._codes, rows_up_to(slots), Basis.UNASKED)
        self._asked = grown(self._asked, rows_up_to(slots), False)
        self._unsure = grown(self._unsure, rows_up_to(slots), np.nan)
