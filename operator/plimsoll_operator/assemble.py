"""The parts of an operator, put together from its settings: every replica has them all.

In: settings, a clock, an API client, kopf's indices. Out: what the loop is made of, and who keeps memory and
gates beside it. Nothing is started here, and nothing asked.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from plimsoll.forecast.prophet import PROPHET
from plimsoll.pipeline import PipelineSettings
from plimsoll.usage.sample import Quantity
from plimsoll_operator.acting import Actor
from plimsoll_operator.actuate.api import KubeApi
from plimsoll_operator.actuate.events import Events
from plimsoll_operator.actuate.evict import Evictions
from plimsoll_operator.actuate.profile import Profiles
from plimsoll_operator.actuate.resize import Patience
from plimsoll_operator.asks import Asks
from plimsoll_operator.clock import Clock
from plimsoll_operator.degraded import degraded
from plimsoll_operator.departed import Departed
from plimsoll_operator.engine.client import Engine
from plimsoll_operator.engine.messages import EngineSettings
from plimsoll_operator.fence import FencedApi
from plimsoll_operator.forecasters.desks import SWITCHED_OFF
from plimsoll_operator.forecasters.prophet_fit import missing_package
from plimsoll_operator.handlers import KopfIndices
from plimsoll_operator.incidents import Incidents
from plimsoll_operator.keeping import Keeper
from plimsoll_operator.leader import Leader, LeaseSettings
from plimsoll_operator.membership import Membership
from plimsoll_operator.owners import OwnerResolver
from plimsoll_operator.parts import Parts
from plimsoll_operator.place.gatekeeper import GateKeeper
from plimsoll_operator.place.gating import Gating
from plimsoll_operator.place.peaks import PeakTeller
from plimsoll_operator.place.placer import Placer
from plimsoll_operator.place.relieving import Reliever
from plimsoll_operator.place.watch import NodeWatch
from plimsoll_operator.remembering import Remembered
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.settings import OperatorSettings
from plimsoll_operator.stages import Stages

# A loop older than this (and than so many intervals) is no basis for placing pods.
FRESH_INTERVALS, LEAST_FRESH_SECONDS = 3.0, 180.0
LEAST_TICK_SECONDS = 180.0  # a worker that has not answered a tick by then hangs


@dataclass(frozen=True, slots=True)
class Assembled:
    """What the process runs: the loop's parts, and what has a rhythm of its own (None: switched off)."""

    parts: Parts
    remembered: Remembered | None
    gates: GateKeeper | None


def assemble(settings: OperatorSettings, clock: Clock, api: KubeApi, indices: KopfIndices) -> Assembled:
    """Put the parts together. Raises where the fleet's memory cannot be opened (`remembered`)."""
    metrics = Metrics(version("plimsoll"))
    identity = settings.own_identity()
    lease = LeaseSettings(
        settings.namespace,
        identity,
        settings.lease_duration,
        settings.lease_renew,
        address=settings.agents_address,
    )

    def count(what: str, status: int) -> None:
        metrics.count("plimsoll_api_writes_total", what=what, status=str(status))

    leader = Leader(FencedApi(api, lambda: None, count), lease, time.monotonic, time.time)
    fenced = FencedApi(api, leader.check, count)
    quantity = Quantity.WORKING_SET if settings.usage_source == "metrics-api" else Quantity.USAGE
    owners = OwnerResolver()
    membership = Membership(settings.own_namespaces, quantity, owners)
    profiles = Profiles(fenced, settings.profile_interval)

    async def stored(rows: Sequence[int]) -> Mapping[int, bytes]:
        return await keeper.stored(rows)

    patience_seconds = max(LEAST_TICK_SECONDS, 3 * settings.interval)
    restarted = partial(metrics.count, "plimsoll_engine_restarts_total")
    engine = Engine(engine_settings(settings), stored, patience_seconds, restarted)
    metrics.follow("plimsoll_engine_up", lambda: float(engine.ready))
    metrics.follow("plimsoll_leader", lambda: float(leader.holds()))
    departed = Departed(fenced)
    keeper = Keeper(
        fenced, engine, membership, profiles, settings.interval, departed, unavailable_models(settings)
    )
    keeper.memory = remembered(settings, quantity, metrics, clock.now, leader.holds)
    patience = Patience(settings.deferred_evict_after, settings.resize_give_up_after)
    placer, gating, gates = None, None, None
    if settings.webhook_port:
        fresh_seconds = max(FRESH_INTERVALS * settings.interval, LEAST_FRESH_SECONDS)
        gating = Gating(settings.namespace) if settings.placement_gates else None
        watch = NodeWatch(memory=keeper.memory, leads=leader.holds)
        placer = Placer(membership, owners, metrics, clock.now, fresh_seconds, gating, watch)
    evictions = Evictions(admitting=settings.webhook_port > 0)
    actor = Actor(fenced, Events(fenced, identity), evictions, metrics, patience)
    reliever = None
    if placer is not None:
        reliever = Reliever(placer, membership, actor, settings.relief_evictions_per_hour)
        if gating is not None:
            gating.find_room = reliever.find_room
            held = (fenced, reliever, indices.pods, leader.holds, metrics, clock.now)
            gates = GateKeeper(*held)
    parts = Parts(
        settings=settings,
        clock=clock,
        api=fenced,
        engine=engine,
        leader=leader,
        owners=owners,
        membership=membership,
        asks=Asks(),
        actor=actor,
        keeper=keeper,
        metrics=metrics,
        stages=Stages(metrics, time.monotonic),
        snapshot=indices.snapshot,
        quantity=quantity,
        model=PipelineSettings().model,
        placer=placer,
        reliever=reliever,
        peaks=None if placer is None else PeakTeller(placer, fenced),
    )
    leader.degraded = lambda: degraded(parts, clock.now())
    return Assembled(parts, keeper.memory, gates)


def unavailable_models(settings: OperatorSettings) -> Mapping[str, str]:
    """Forecast models that policies may name and that cannot work here, each with the reason."""
    if settings.forecast_redis:
        return {}
    why = missing_package() if settings.forecast_workers else SWITCHED_OFF
    return {PROPHET: why} if why else {}


def engine_settings(settings: OperatorSettings) -> EngineSettings:
    """What of the settings the worker process needs."""
    return EngineSettings(
        usage_source=settings.usage_source,
        prometheus_url=settings.prometheus_url,
        prometheus_token_file=settings.prometheus_token_file,
        prometheus_ca_file=settings.prometheus_ca_file,
        kubeconfig_context=settings.kubeconfig_context,
        interval_seconds=settings.interval,
        forecast_workers=settings.forecast_workers,
        forecast_redis=settings.forecast_redis,
        own_weights_file=settings.own_weights_file,
        node_proxy=settings.node_proxy,
        kubelet_concurrency=settings.kubelet_concurrency,
        kubelet_port=settings.kubelet_port,
        kubelet_ca_file=settings.kubelet_ca_file,
        kubelet_insecure=settings.kubelet_insecure,
        log_level=settings.log_level,
    )


def remembered(
    settings: OperatorSettings,
    quantity: Quantity,
    metrics: Metrics,
    now: Callable[[], float],
    leads: Callable[[], bool],
) -> Remembered | None:
    """The fleet's memory, where one is named; raises where its file or the extra `redis` is missing."""
    if not settings.memory_file:
        return None
    from plimsoll.store.memory import open_memory  # noqa: PLC0415  (needs the extra `redis`)
    from plimsoll_operator.learning import Learner  # noqa: PLC0415

    memory = open_memory(settings.memory_file, settings.memory_redis, clock=time.perf_counter)
    learner, incidents = Learner(memory, leads, metrics), Incidents(memory, leads, metrics)
    return Remembered(memory, quantity, now, metrics, learner=learner, incidents=incidents)
