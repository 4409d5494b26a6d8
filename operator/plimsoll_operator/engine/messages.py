"""What crosses the pipe between the operator's event loop and the engine's worker process.

In: members (live containers and the row they feed), events, ticks. Out: columnar answers (`Tick`), one
numpy array a column, so that 100,000 rows cross in a few milliseconds. Row ids are chosen by the main
process; the worker maps them to rows of its histories, one history per quantity.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.workload_class import CodeArray
from plimsoll.recommend.objective import Ask
from plimsoll.recommend.recommendation import FloatArray, IntArray, Recommendations
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.sample import BoolArray, Quantity
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_operator.forecasters.desks import FitReport

PodContainer = tuple[str, str]  # (pod uid, container name)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the worker process is started with."""

    usage_source: str = "metrics-api"  # metrics-api | kubelet | prometheus
    prometheus_url: str = ""  # "": no backfill, no OOM history
    prometheus_token_file: str = ""
    prometheus_ca_file: str = ""  # "": the machine's own list
    kubeconfig_context: str = ""  # "": the current one; the file is $KUBECONFIG or the in-cluster one
    interval_seconds: float = 60.0  # between two ticks; samples older than two of them are not fresh
    source_timeout_seconds: float = 20.0  # one HTTP request to a source
    node_proxy: bool = (
        False  # kubelets through the API server: needs nodes/proxy, which allows exec everywhere
    )
    kubelet_concurrency: int = 32
    kubelet_port: int = 10250
    kubelet_ca_file: str = (
        ""  # "": the cluster's CA; a kubelet that signs its own certificate needs its own CA
    )
    kubelet_insecure: bool = False  # do not verify kubelets' certificates
    backfill_seconds: float = 28 * 86_400.0  # how much history is asked of Prometheus for a new workload
    forecast_workers: int = 1  # processes that fit Prophet, for rows whose policy names it; 0: none
    forecast_redis: str = ""  # where plimsoll-worker processes fit Prophet instead; "": nowhere
    own_weights_file: str = ""  # of the forecast's weights, refitted to this cluster; "": they are not
    backfill_budget_seconds: float = 10.0  # wall time that one tick may spend on backfill
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class Member:
    """One live container of one pod, and the history row that its usage feeds.

    Several members share a row (the workload's replicas). `limit_bytes` and `request_bytes` are those in
    force in this pod (None: unset). `policy` is what the policy says of the row's forecast, price and buffer.
    """

    row: int
    key: ContainerKey
    namespace: str
    pod: str
    pod_uid: str
    container: str
    kube_node: str
    limit_bytes: int | None
    request_bytes: int | None
    policy: RowPolicy
    quantity: Quantity
    ceiling_bytes: int | None = None  # what its kube node has: no sample of it can be larger
    kin: str = ""  # what it shares with containers that are like it (`engine.kin`); "": nothing is known
    image: int = 0  # a code of its image, version and all (`engine.kin`); 0: not known

    def __reduce__(self) -> tuple[Callable[..., "Member"], tuple[object, ...]]:
        """Cross the pipe as one flat tuple: a tenth of the time that nested dataclasses take."""
        workload = self.key.workload
        key = (workload.namespace, workload.kind, workload.name, self.key.container, self.key.node_class)
        own = (self.row, self.namespace, self.pod, self.pod_uid, self.container, self.kube_node, self.kin)
        said = self.policy
        wishes = (said.oom_price, said.model, said.history_hours)
        bounds = (said.buffer_min_fraction, said.buffer_max_fraction)
        values = (self.limit_bytes, self.request_bytes, self.quantity.value, self.ceiling_bytes, self.image)
        return _member, (
            key,
            own,
            values,
            (*wishes, *bounds, said.leak_window_hours, said.holidays, said.asked, said.needed),
        )


def _member(
    key: tuple[str, str, str, str, str],
    own: tuple[int, str, str, str, str, str, str],
    values: tuple[int | None, int | None, str, int | None, int],
    policy: tuple[float | None, str, int, float, float, int, tuple[str, ...], Ask | None, bool],
) -> Member:
    namespace, kind, name, container, node_class = key
    workload = WorkloadRef(namespace, kind, name)
    row, pod_namespace, pod, pod_uid, member_container, kube_node, kin = own
    limit_bytes, request_bytes, quantity, ceiling_bytes, image = values
    return Member(
        row=row,
        key=ContainerKey(workload, container, node_class),
        namespace=pod_namespace,
        pod=pod,
        pod_uid=pod_uid,
        container=member_container,
        kube_node=kube_node,
        limit_bytes=limit_bytes,
        request_bytes=request_bytes,
        policy=RowPolicy(*policy),
        quantity=Quantity(quantity),
        ceiling_bytes=ceiling_bytes,
        kin=kin,
        image=image,
    )


@dataclass(frozen=True, slots=True)
class OomEvent:
    """The kernel killed a container at its limit."""

    pod_uid: str
    container: str
    at_seconds: float
    limit_bytes: int | None  # the limit in force at the kill


@dataclass(frozen=True, slots=True)
class RestartEvent:
    """A container restarted, for whatever reason, or every pod of its row was replaced."""

    pod_uid: str
    container: str
    at_seconds: float
    # Nobody saw what was before: a start only where all that the history knows is older.
    first_sight: bool = False


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A container's limit or request in force is now another one."""

    pod_uid: str
    container: str
    limit_bytes: int | None
    request_bytes: int | None


Event = OomEvent | RestartEvent | LimitChange


@dataclass(frozen=True, slots=True)
class PodRaises:
    """Limits that must rise now, in single pods: after an OOM kill or on a climb towards the limit."""

    rows: IntArray  # [n]
    pods: tuple[PodContainer, ...]  # n
    limit_bytes: FloatArray  # [n] asked for
    reasons: tuple[str, ...]  # n CamelCase words


@dataclass(frozen=True, slots=True)
class RowUsage:
    """Present use of every row that has live members, ascending by row.

    `current_bytes` is the maximum over the row's live pods (NaN: none sampled). `age_seconds` is that of the
    *oldest* newest sample among them: a row of which one replica is unseen is as old as that replica.
    """

    rows: IntArray  # [n]
    current_bytes: FloatArray  # [n]
    age_seconds: FloatArray  # [n]


@dataclass(frozen=True, slots=True)
class RowShapes:
    """What the rows look like that were due in this tick: their class, and whether they leak."""

    rows: IntArray  # [n]
    workload_class: CodeArray  # [n] `WorkloadClass`
    leaks: BoolArray  # [n]
    since_seconds: FloatArray  # [n] NaN where none leaks
    slope: FloatArray  # [n] bytes/s, with its interval
    slope_low: FloatArray  # [n]
    slope_high: FloatArray  # [n]


def no_shapes() -> RowShapes:
    """Return the shapes of no row at all."""
    none = np.empty(0, dtype=np.float64)
    codes, flags = np.empty(0, dtype=np.int8), np.empty(0, dtype=np.bool_)
    return RowShapes(np.empty(0, dtype=np.int32), codes, flags, none, none, none, none)


@dataclass(frozen=True, slots=True)
class RowLoads:
    """What rows will use in the coming day (`engine.loads`); empty unless the tick was asked for loads.

    A row that was never seen has NaN throughout. `error` and `reference` are squared errors of what would
    have been said of these rows a day ago, and of what their requests told (`placement.guard.LoadJudge`).
    """

    rows: IntArray  # [n]
    mean_bytes: npt.NDArray[np.float32]  # [n, 24] of the hourly maximum, by hour of the day (UTC)
    variance: FloatArray  # [n] bytes^2
    third: FloatArray  # [n] third central moment, bytes^3
    common: FloatArray  # [n] bytes^2, of the variance what all replicas of a row deviate by together
    begins: npt.NDArray[np.int32]  # [n] bits: hours of the day (UTC) at which it is known to begin
    stays_hours: npt.NDArray[np.int8]  # [n] the longest that it ran and ended; 0: it never ended
    ends: BoolArray  # [n] it ended so often that its next end is known
    error: float = 0.0  # bytes^2
    reference: float = 0.0  # bytes^2


def no_loads() -> RowLoads:
    """Return the loads of no row at all."""
    none = np.empty(0, dtype=np.float64)
    rows, mean = np.empty(0, dtype=np.int32), np.empty((0, 24), dtype=np.float32)
    return RowLoads(
        rows, mean, none, none, none, rows, np.empty(0, dtype=np.int8), np.empty(0, dtype=np.bool_)
    )


@dataclass(frozen=True, slots=True)
class NodeUse:
    """What the members on each kube node use now; empty unless the tick was asked for loads."""

    kube_nodes: tuple[str, ...] = ()  # k, those with members
    # [k] of members with a fresh sample, as their histories are told it: the forecasts are of that. NaN where
    # a history waits for what an agent says.
    used_bytes: FloatArray = field(default_factory=lambda: np.empty(0))
    members: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int32))  # [k]
    sampled: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int32))  # [k] of them, freshly


@dataclass(frozen=True, slots=True)
class Needs:
    """What agents said last of containers whose policy asks for needed memory; NaN: not said.

    `unsure_bytes` of what is needed may turn out not to be (`plimsoll.coordinate.sought`). `usage_bytes` is
    all that is charged, `working_set_bytes` what of it is not idle file cache: whichever the row's history
    holds is compared with its samples.
    """

    uids: tuple[PodContainer, ...] = ()  # n
    heard_seconds: FloatArray = field(default_factory=lambda: np.empty(0))  # [n] by the operator's clock
    usage_bytes: FloatArray = field(default_factory=lambda: np.empty(0))  # [n]
    working_set_bytes: FloatArray = field(default_factory=lambda: np.empty(0))  # [n]
    needed_bytes: FloatArray = field(default_factory=lambda: np.empty(0))  # [n]
    unsure_bytes: FloatArray = field(default_factory=lambda: np.empty(0))  # [n]

    def parts(self, size: int) -> Iterator["Needs"]:
        """The same in parts of at most `size` containers."""
        for start in range(0, len(self.uids), size):
            mine = slice(start, start + size)
            used = (self.usage_bytes, self.working_set_bytes)
            columns = (self.heard_seconds, *used, self.needed_bytes, self.unsure_bytes)
            yield Needs(self.uids[mine], *(each[mine] for each in columns))


@dataclass(frozen=True, slots=True)
class RowBases:
    """What the limits of rows are made for whose policy asks for needed memory, and why."""

    rows: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int32))  # [n] ascending
    codes: CodeArray = field(default_factory=lambda: np.empty(0, dtype=np.int8))  # [n] `usage.needed.Basis`
    needed_bytes: FloatArray = field(default_factory=lambda: np.empty(0))  # [n] highest; NaN: not known
    sought: BoolArray = field(
        default_factory=lambda: np.zeros(0, dtype=np.bool_)
    )  # [n] still being found out


@dataclass(frozen=True, slots=True)
class Tick:
    """The answer to one tick.

    While `problems` is not empty everything holds. `holds` names single rows that must not be lowered or
    raised on their forecast, by reason (no fresh sample, backfill not done); `notices` say why in words.
    `raises` stand in either case: they come from what was seen, not from what is missing.
    """

    now_seconds: float
    recommendations: Recommendations
    raises: PodRaises
    usage: RowUsage
    stages: Mapping[str, float] = field(default_factory=dict)  # stage -> wall seconds
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    holds: Mapping[str, IntArray] = field(default_factory=dict)  # CamelCase reason -> rows
    covered: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int32))  # see `engine.coverage`
    shapes: RowShapes = field(default_factory=no_shapes)
    loads: RowLoads = field(default_factory=no_loads)
    node_use: NodeUse = field(default_factory=NodeUse)
    bases: RowBases = field(default_factory=RowBases)
    fits: FitReport = field(default_factory=FitReport)  # what the forecast workers did
    used_bytes: float = 0.0  # sum over all live members that were sampled
    limit_bytes: float = 0.0  # sum over all live members that have a limit
    samples: int = 0  # accepted by the histories
    rejected: Mapping[str, int] = field(default_factory=dict)  # reason -> samples dropped
    price_factors: Mapping[str, float] = field(default_factory=dict)  # objective -> of the table's price
    # Of the rows recommended for: why another model answered than the one that the policy names.
    stand_ins: Mapping[int, str] = field(default_factory=dict)
    # By class: hours above the limit that were promised and that came, of about the last 14 days.
    kept: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def no_recommendations() -> Recommendations:
    """Return recommendations for no row at all."""
    none = np.empty(0, dtype=np.float64)
    rows = np.empty(0, dtype=np.int32)
    return Recommendations(
        rows=rows,
        ready=np.empty(0, dtype=np.bool_),
        target_bytes=none,
        lower_bytes=none,
        upper_bytes=none,
        buffer_bytes=none,
        request_bytes=none,
        quantile_levels=none,
        quantile_bytes=np.empty((0, 0), dtype=np.float64),
        oom_price=none,
    )


def no_raises() -> PodRaises:
    """Return raises of no pod at all."""
    return PodRaises(np.empty(0, dtype=np.int32), (), np.empty(0, dtype=np.float64), ())


def no_usage() -> RowUsage:
    """Return the use of no row at all."""
    none = np.empty(0, dtype=np.float64)
    return RowUsage(np.empty(0, dtype=np.int32), none, none)


def empty_tick(now_seconds: float, *problems: str) -> Tick:
    """Return the tick of an engine that has nothing to say but why."""
    return Tick(
        now_seconds=now_seconds,
        recommendations=no_recommendations(),
        raises=no_raises(),
        usage=no_usage(),
        problems=problems,
    )
