"""What a loop is made of.

In: what `assemble` made. Out: one value that the loop and those beside it are given.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from plimsoll.usage.sample import Quantity
from plimsoll_operator.acting import Actor
from plimsoll_operator.actuate.api import KubeApi
from plimsoll_operator.asks import Asks
from plimsoll_operator.clock import Clock
from plimsoll_operator.coordinate.desk import Desk
from plimsoll_operator.engine.client import Engine
from plimsoll_operator.keeping import Keeper
from plimsoll_operator.leader import Leader
from plimsoll_operator.membership import Membership
from plimsoll_operator.owners import OwnerResolver
from plimsoll_operator.place.peaks import PeakTeller
from plimsoll_operator.place.placer import Placer
from plimsoll_operator.place.relieving import Reliever
from plimsoll_operator.serve.metrics import Metrics
from plimsoll_operator.settings import OperatorSettings
from plimsoll_operator.stages import Stages
from plimsoll_operator.world import World


@dataclass(slots=True)
class Parts:
    """What a loop is made of."""

    settings: OperatorSettings
    clock: Clock
    api: KubeApi
    engine: Engine
    leader: Leader
    owners: OwnerResolver
    membership: Membership
    asks: Asks
    actor: Actor
    keeper: Keeper
    metrics: Metrics
    stages: Stages
    snapshot: Callable[[], Awaitable[World]]
    quantity: Quantity
    model: str
    desk: Desk | None = None  # coordination with agents; None: there is none
    placer: Placer | None = None  # where new pods go; None: no webhook asks
    reliever: Reliever | None = None  # who leaves a kube node; only with a placer
    peaks: PeakTeller | None = None  # what nodes will need, told in NodeMemory; only with a placer
