"""The engine itself, without its process: samples in, recommendations and raises out, one tick at a time.

In: members, events, a source of usage and (optionally) Prometheus for the past. Out: `Tick`. Every stage is
timed by name. Whatever goes wrong with a source ends as a problem (all rows hold) or as rows that hold;
limits are derived from the histories alone, and those only from samples that were believed.
"""

import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from plimsoll.guard.limits import GuardSettings
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.relatives import Steps
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.cache import CacheFloor
from plimsoll.usage.checkpoint import CheckpointError
from plimsoll.usage.sample import BINS_PER_HOUR, BoolArray, Float64Array, Quantity
from plimsoll.usage.timeline import ClockStep
from plimsoll_operator.engine.coverage import Coverage
from plimsoll_operator.engine.deciding import Decider
from plimsoll_operator.engine.events import EventDesk
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.kin import Kin
from plimsoll_operator.engine.loads import LoadDesk
from plimsoll_operator.engine.members import MemberTable, SlotArray
from plimsoll_operator.engine.messages import (
    EngineSettings,
    Event,
    Needs,
    PodRaises,
    Tick,
    empty_tick,
)
from plimsoll_operator.engine.needs import NeedDesk
from plimsoll_operator.engine.past import PastLoader
from plimsoll_operator.engine.raises import RaiseList
from plimsoll_operator.engine.refits import Refits
from plimsoll_operator.engine.round import Round
from plimsoll_operator.engine.rows import RowArray, RowTable
from plimsoll_operator.engine.shapes import Shapes
from plimsoll_operator.forecasters.desks import Desks
from plimsoll_operator.forecasters.pool import FitPool
from plimsoll_operator.observe.backfill import ContainerPast
from plimsoll_operator.observe.source import BatchBuilder, SampleBatch, UsageSource, failed

STALE_INTERVALS = 2.0  # a sample older than so many intervals says nothing about the present
# However short the interval: a busy kubelet measures every 10-20 s, and metrics-server adds its own 15 s.
FRESHEST_SECONDS = 60.0
# A row with a day of its own decides without the past that Prometheus could not give.
OWN_PAST_SECONDS = 86_400.0
USAGE_STALE = "UsageStale"
UNIT_DOUBTED = "UnitDoubted"
PAST_PENDING = "BackfillPending"
NEED_UNKNOWN = "NeedUnknown"
CLOCK_PROBLEMS = {
    ClockStep.BACKWARD_IGNORED: "the clock jumped back",
    ClockStep.FORWARD_HELD: "the clock jumped far forward",
    ClockStep.INVALID: "the clock gave no time",
}


class EngineCore:
    """All state of the worker process."""

    def __init__(
        self,
        settings: EngineSettings,
        source: UsageSource,
        past: PastLoader | None = None,
        pipeline: PipelineSettings | None = None,
        pool: FitPool | None = None,
    ) -> None:
        self._settings = settings
        self._desks = Desks(pool, elsewhere=bool(settings.forecast_redis))
        self._source = source
        self._past = past
        self._guard = pipeline.guard if pipeline else GuardSettings()
        self._refits = Refits(settings.own_weights_file, self._guard, workers=pool is not None)
        self.members = MemberTable()
        self.rows = RowTable(pipeline, self._desks.refusal, self._refits.desk)
        self._raises = RaiseList()  # of events since the last tick
        self._restored: set[int] = set()
        self._coverage = Coverage(settings.interval_seconds)
        self._cache = CacheFloor()
        self._events = EventDesk(self.members, self.rows, self._cache, self._guard)
        self._shapes = Shapes()
        self._loads = LoadDesk()
        self._kin = Kin()
        self._decider = Decider(self.rows, self._kin, self._shapes, self._loads)
        self._needs = NeedDesk(self.members, self.rows)
        self._now_seconds = math.nan

    # -- what is told -------------------------------------------------------------------------------------

    def sync(self, change: Sync) -> None:
        """Take in members that came, let go of those that went."""
        gone = np.array([slot for slot in map(self.members.slot_of, change.removed) if slot >= 0], dtype=int)
        touched = set(self.members.rows[gone].tolist())
        self._needs.leave(gone)
        for uid in change.removed:
            self.members.remove(uid)
        wanted = {member.row: (member.key, member.quantity) for member in change.added}
        new = self.rows.assign(wanted)
        self._let_go(new)
        if self._past is not None:
            self._past.drop(new)
            for row in new:
                self._past.want(row, *wanted[row])
        for member in change.added:
            self.members.add(member)
            self._kin.tell(member.row, member.kin)
        self._needs.sync(change.added, gone)
        self._tell_policies({member.row: member.policy for member in change.added})
        self._tell_images(touched | wanted.keys())

    def _tell_images(self, rows: Collection[int]) -> None:
        """Rows whose pods came or went: a rollout is over once all that live run the new image."""
        known = np.array(sorted(row for row in rows if self.rows.known(row)), dtype=np.int32)
        for mine, store in self.rows.by_store(known):
            codes = self.members.images_of(mine)
            store.history.images.observe(self.rows.places(mine), codes, self._now_seconds)

    def _tell_policies(self, policy_of: Mapping[int, RowPolicy]) -> None:
        for row, policy in policy_of.items():
            self._shapes.tell(row, policy.leak_window_hours)
        for rows, store in self.rows.by_store(np.array(list(policy_of), dtype=np.int32)):
            said = [policy_of[row] for row in rows.tolist()]
            places = self.rows.places(rows)
            store.pipeline.observe_policies(places, said)
            for place, policy in zip(places.tolist(), said, strict=True):
                store.prophet.tell(place, policy)

    def forget(self, rows: tuple[int, ...]) -> None:
        """Rows whose workloads are gone: their history goes too."""
        self.rows.forget(rows)
        self._let_go(rows)
        if self._past is not None:
            self._past.drop(rows)

    def _let_go(self, rows: Collection[int]) -> None:
        self._restored.difference_update(rows)
        self._coverage.forget(tuple(rows))
        gone = np.array(list(rows), dtype=np.int32)
        self._shapes.forget(gone)
        self._loads.forget(gone)
        self._kin.forget(rows)
        self._cache.doubt(np.array(list(rows), dtype=np.int32))
        self._events.forget(rows)

    def observe(self, events: tuple[Event, ...]) -> PodRaises:
        """Take events in; return the raises they ask for, which the next tick also carries."""
        raises = self._events.take(events, self._now_seconds)
        self._raises.extend(raises)
        return raises.build()

    def restore(self, checkpoints: Mapping[int, bytes], *, steered: bool = True) -> tuple[str, ...]:
        """Join checkpoints to their rows; return what could not be read, in words.

        `steered` False: they may come from another cluster, whose fleet's price is not this one's.
        """
        refused = []
        for row, data in checkpoints.items():
            if not self.rows.known(row):
                continue
            lived = math.isfinite(self._last_seen(row))
            try:
                place = int(self.rows.place(row)[0])
                self.rows.store(row).pipeline.restore(place, data, steered=steered)
            except CheckpointError as error:
                refused.append(f"checkpoint of {self.rows.keys[row]}: {error}")
                continue
            self._restored.add(row)
            self._events.remember_kills(row)
            # With samples of its own already, nobody can tell how long the gap before them was.
            self._coverage.restored(row, math.nan if lived else self._last_seen(row))
            self.rows.due_at_once(np.array([row], dtype=np.int32))
        if self._past is not None:
            self._past.drop(checkpoints.keys() & self._restored)
        return tuple(refused)

    def relate(self, steps: Mapping[str, Steps], quantity: Quantity) -> None:
        """What the fleet's memory knows of kinds: for young rows without relatives that have a past here."""
        self._kin.remember(steps, str(quantity))

    def tell_needs(self, needs: Needs) -> None:
        """What agents say of containers whose limits are made for needed memory."""
        self._needs.tell(needs)

    # -- what is asked ------------------------------------------------------------------------------------

    def checkpoints(self, rows: tuple[int, ...]) -> dict[int, bytes]:
        """Return the checkpoints of those of `rows` that exist."""
        return {
            row: self.rows.store(row).pipeline.checkpoint(int(self.rows.place(row)[0]))
            for row in rows
            if self.rows.known(row)
        }

    def tick(self, now_seconds: float, *, everything: bool = False, loads: bool = False) -> Tick:
        """Fetch, take in, react, recommend."""
        doubts = tuple(self._advance(now_seconds))
        if doubts:
            return empty_tick(now_seconds, *doubts)  # events' raises wait for a time that can be believed
        self._now_seconds = now_seconds
        self.members.begin(now_seconds)
        self._needs.begin(now_seconds)
        if loads:
            self._loads.replicas.look(self.members, now_seconds)
        made = Round(now_seconds)
        batch = no_samples()
        with made.stage("fetch"):
            batch = self._fetch(made)
        with made.stage("append"):
            live = np.unique(self.members.rows[self.members.live()])
            made.bases = self._needs.bases(self.rows.by_store(live), now_seconds)
            self._append(batch, made)
            self.rows.due_at_once(self._needs.found(now_seconds))
        with made.stage("backfill"):
            self._backfill(made)
        with made.stage("usage"):
            made.usage = self.members.usage(now_seconds)
            made.used_bytes, made.limit_bytes = self.members.totals()
            self._hold(made)
            self._cover(made)
        with made.stage("prophet", holds=False):  # without an answer `auto` stands in: nothing need wait
            desks = [store.prophet for store in self.rows.stores.values()]
            made.fits = self._desks.step((*desks, *self._refits.desks), now_seconds)
            made.notices += self._refits.keep()
            made.notices += sorted(f"holidays: {remark}" for remark in made.fits.remarks)
        with made.stage("react"):
            self._react(made)
        requested = self.members.row_requests(len(self.rows)) if loads else None
        self._decider.decide(made, requested, everything=everything)
        for store in self.rows.stores.values():
            made.steered(store.pipeline.price_factors())
        with made.stage("shapes", holds=False):
            for mine, store in self.rows.by_store(made.usage.rows):
                made.keep(self._shapes.kept(mine, store.history.promises.record(self.rows.places(mine))))
        if requested is not None:
            self._decider.load(made, requested)
            made.node_use = self.members.node_use(made.now_seconds, self._fresh_seconds())
        made.raises = self._raises.build()
        self._raises = RaiseList()
        return made.tick()

    def close(self) -> None:
        """Free connections and threads."""
        self._source.close()
        self._desks.close()
        if self._past is not None:
            self._past.close()

    # -- stages -------------------------------------------------------------------------------------------

    def _advance(self, now_seconds: float) -> Iterator[str]:
        steps = [store.history.advance(now_seconds) for store in self.rows.stores.values()]
        for step in set(steps) & CLOCK_PROBLEMS.keys():
            yield f"{CLOCK_PROBLEMS[step]} to {now_seconds:.0f}; it is believed once it has stayed there"

    def _fetch(self, made: Round) -> SampleBatch:
        wanted = frozenset(self.rows.stores)
        if not len(self.members):
            return no_samples()
        for quantity in sorted(wanted - self._source.quantities):
            made.notices.append(f"{self._source.name} cannot measure {quantity}")
        try:
            fetched = self._source.fetch(made.now_seconds, wanted & self._source.quantities)
        except Exception as error:  # noqa: BLE001 - a source is other people's input: hold, and say why
            fetched = failed(f"{self._source.name}: {type(error).__name__}: {error}")
        made.problems += fetched.problems
        made.notices += fetched.notices
        return fetched.batch

    def _append(self, batch: SampleBatch, made: Round) -> None:
        slots = self.members.locate(batch.names)
        rows = np.where(slots >= 0, self.members.rows[slots], -1).astype(np.int32)
        made.reject("unknown_container", int(np.count_nonzero(rows < 0)))
        for quantity, store in self.rows.stores.items():
            mine = np.flatnonzero(_given(batch, quantity) & self.rows.holding(rows, quantity))
            values, seconds = batch.column(quantity)[mine], batch.seconds[mine]
            ceilings = self.members.ceilings(slots[mine])
            places = self.rows.places(rows[mine])
            used = self._needed(rows[mine], slots[mine], values, batch.cache_bytes[mine], made.now_seconds)
            told = self._needs.of_samples(slots[mine], values, seconds, used, quantity, made.now_seconds)
            kept = np.isfinite(told) | ~np.isfinite(values)  # the others' agents are waited for
            limits = self.members.set_bytes(slots[mine])
            store.pipeline.observe_usage(places, seconds, used, made.now_seconds, ceilings, limits)
            report = store.history.append(
                places[kept], seconds[kept], told[kept], made.now_seconds, ceilings[kept], limits[kept]
            )
            doubted = np.zeros(len(mine), dtype=np.bool_)
            doubted[kept] = report.doubted
            # A replica's fellows say what the row uses; where nobody is believed, nothing is known.
            doubted &= ~np.isin(places, places[kept][report.believed])
            made.doubt(rows[mine[doubted]])
            seen = ~doubted
            here, used = slots[mine][seen], values[seen]
            self.members.observe(here, seconds[seen], used, made.now_seconds, told[seen])
            store.history.record_throttled(places[batch.throttled[mine]], made.now_seconds)
            made.samples += report.accepted
            for reason, count in report.rejected.items():
                made.reject(str(reason), count)

    def _needed(
        self, rows: RowArray, slots: SlotArray, values: Float64Array, cache: Float64Array, now_seconds: float
    ) -> Float64Array:
        """What a history is told of samples [n]: not the cache that only fills the room there is."""
        return self._cache.needed(rows, values, cache, self.members.limit_bytes[slots], now_seconds)

    def _backfill(self, made: Round) -> None:
        due = self._past.due(made.now_seconds) if self._past is not None else ()
        if self._past is None or not due:
            return
        loaded = self._past.load(made.now_seconds, self.members.pods_of(due))
        for row, past in loaded.pasts.items():
            self._take_in(row, past, made.now_seconds)
        self.rows.due_at_once(np.array(loaded.done, dtype=np.int32))
        made.notices += loaded.notices

    def _take_in(self, row: int, past: ContainerPast, now_seconds: float) -> None:
        history, place = self.rows.store(row).history, self.rows.place(row)
        history.append(np.repeat(place, len(past.seconds)), past.seconds, past.bytes_, now_seconds)
        self.rows.store(row).pipeline.renew(place)
        if len(past.oom_seconds):
            rows = np.repeat(place, len(past.oom_seconds))
            history.record_oom(rows, past.oom_seconds, past.oom_limit_bytes)

    def _hold(self, made: Round) -> None:
        """Name the rows that must not move on their forecast."""
        limit = self._fresh_seconds()
        stale = made.usage.rows[made.usage.age_seconds > limit]
        doubted = np.isin(stale, made.doubted)
        made.hold(USAGE_STALE, stale[~doubted])
        made.hold(UNIT_DOUBTED, stale[doubted])
        made.hold(PAST_PENDING, self._pending(made.now_seconds))
        made.hold(NEED_UNKNOWN, self._needs.held(made.bases))
        if len(stale):
            lost, known = self.members.stale(made.now_seconds, limit), len(self.members)
            words = f"gave no sample younger than {limit:.0f} s of {lost} of {known} containers; they hold"
            made.notices.append(f"{self._source.name} {words}")

    def _fresh_seconds(self) -> float:
        return max(STALE_INTERVALS * self._settings.interval_seconds, FRESHEST_SECONDS)

    def _cover(self, made: Round) -> None:
        """Name the rows whose last hour is known without a gap."""
        waiting = {row: self._last_seen(row) for row in self._coverage.waiting if self.rows.known(row)}
        self._coverage.sampled(waiting, made.now_seconds)
        if not self._coverage.asked(made.now_seconds):
            return
        parts = [
            self._coverage.covered(
                rows,
                store.history.five_minute(self.rows.places(rows), BINS_PER_HOUR + 1),
                made.now_seconds,
            )
            for rows, store in self.rows.by_store(made.usage.rows)
        ]
        made.covered = np.concatenate(parts) if parts else made.covered

    def _last_seen(self, row: int) -> float:
        return float(self.rows.store(row).history.last_seen_seconds(self.rows.place(row))[0])

    def _pending(self, now_seconds: float) -> RowArray:
        """Return rows that wait for their past and have no day of their own."""
        waiting = self._past.waiting() if self._past is not None else ()
        return np.array([row for row in waiting if not self._own_past(row, now_seconds)], dtype=np.int32)

    def _own_past(self, row: int, now_seconds: float) -> bool:
        first = self.rows.store(row).history.first_seen_seconds(self.rows.place(row))[0]
        return bool(now_seconds - first >= OWN_PAST_SECONDS)

    def _react(self, made: Round) -> None:
        """Add the raises that present use asks for to those of events since the last tick."""
        limits = self.members.row_limits(len(self.rows))
        for rows, store in self.rows.by_store(made.usage.rows):
            places = self.rows.places(rows)
            store.pipeline.observe_limits(places, limits[rows])
            store.pipeline.observe_replicas(places, self.members.counts(rows))
            asked = store.pipeline.react(places, made.now_seconds)
            row_of = dict(zip(places.tolist(), rows.tolist(), strict=True))
            raised = np.array([row_of[place] for place in asked.rows.tolist()], dtype=np.int32)
            self._raises.add_rows(raised, asked, self.members, self._guard)


def no_samples() -> SampleBatch:
    """Return the batch of a cluster in which nothing is watched."""
    return BatchBuilder().build()


def _given(batch: SampleBatch, quantity: Quantity) -> BoolArray:
    """Return where the source spoke of this quantity: garbage counts, the other quantity's gap does not."""
    other = Quantity.WORKING_SET if quantity == Quantity.USAGE else Quantity.USAGE
    return np.asarray(~np.isnan(batch.column(quantity)) | np.isnan(batch.column(other)))
