"""What a policy means for one container once all is resolved: the guards and the engine read only this.

In: nothing. Out: the enums of the policy fields and two frozen dataclasses, with units in every name.
`precedence.py` makes them; nobody else should, except tests.
"""

from dataclasses import dataclass
from enum import StrEnum

from plimsoll.api.window import Window

# Runtimes start nothing in less than about 6 MiB: a smaller limit is a typing error, and kills each start.
LEAST_LIMIT_BYTES = 16 * 2**20
HORIZON_SECONDS = 3600  # decisions are renewed each hour: the one horizon that forecasts are made for


class Mode(StrEnum):
    """What may be done with a container. Each of the last two includes the ones before it."""

    OFF = "Off"
    RECOMMEND = "Recommend"
    INITIAL = "Initial"
    IN_PLACE = "InPlace"
    IN_PLACE_OR_RECREATE = "InPlaceOrRecreate"

    @property
    def admits(self) -> bool:
        """New pods get their limit at admission."""
        return self in (Mode.INITIAL, Mode.IN_PLACE, Mode.IN_PLACE_OR_RECREATE)

    @property
    def resizes(self) -> bool:
        """Running pods may be resized in place."""
        return self in (Mode.IN_PLACE, Mode.IN_PLACE_OR_RECREATE)

    @property
    def recreates(self) -> bool:
        """Pods may be evicted and containers restarted where a resize in place cannot do it."""
        return self is Mode.IN_PLACE_OR_RECREATE


class Importance(StrEnum):
    """How bad an OOM kill is, where neither an objective nor a price is given."""

    LOW = "Low"
    NORMAL = "Normal"
    HIGH = "High"
    CRITICAL = "Critical"


class Basis(StrEnum):
    """Which memory the limit is made for."""

    USAGE = "usage"
    NEEDED = "needed"


class Controlled(StrEnum):
    """Which of a container's two memory values are written."""

    REQUESTS_AND_LIMITS = "RequestsAndLimits"
    REQUESTS_ONLY = "RequestsOnly"
    LIMITS_ONLY = "LimitsOnly"

    @property
    def limits(self) -> bool:
        """The limit is ours to write."""
        return self is not Controlled.REQUESTS_ONLY

    @property
    def requests(self) -> bool:
        """The request is ours to write."""
        return self is not Controlled.LIMITS_ONLY


class LeakAction(StrEnum):
    """What to do about a container that only ever grows."""

    ALERT = "Alert"
    RAISE = "Raise"
    RESTART = "Restart"
    LEAVE = "Leave"


@dataclass(frozen=True, slots=True, order=True)
class PolicyRef:
    """Names a policy; `namespace` is empty for a ClusterMemoryPolicy."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class EffectiveContainerPolicy:
    """All that a policy says about one container, defaults and `containers[]` overrides applied.

    At most one of `objective` and `oom_price` is set; with neither, `importance` sets the price. `problem`
    is empty unless the policy could not be read or contradicts itself; then `mode` is Off and the sentence
    says why.
    """

    policy: PolicyRef
    container: str
    mode: Mode = Mode.RECOMMEND
    importance: Importance = Importance.NORMAL
    controlled: Controlled = Controlled.REQUESTS_AND_LIMITS
    basis: Basis = Basis.USAGE
    objective: str | None = None  # "balanced", "slack:0.25", "oom:70"
    oom_price: float | None = None  # container-days of a wholly unused limit that one OOM kill is worth
    buffer_min_fraction: float | None = None  # of the forecast's 95 % quantile; None: no bound
    buffer_max_fraction: float | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None
    cooldown_seconds: int = 600  # between two routine changes of one container
    min_change_fraction: float = 0.05  # of the limit in force
    window: Window | None = None  # None: always open
    resizes_per_hour: int | None = None  # over all pods of the policy; None: no budget
    evictions_per_hour: int = 12
    model_name: str = "auto"
    horizon_seconds: int = HORIZON_SECONDS
    history_seconds: int = 28 * 86_400
    holidays: tuple[str, ...] = ()
    leak_action: LeakAction = LeakAction.ALERT
    leak_cap_bytes: int | None = None  # where Raise ends; None: at max_bytes, if at all
    leak_window_seconds: int = 86_400  # how long growth must have lasted
    problem: str = ""
