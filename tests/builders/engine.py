"""Members and a source of usage for tests of the engine: plain values, no cluster."""

from dataclasses import dataclass, field, replace

from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.sample import Quantity
from plimsoll.workload import ContainerKey, WorkloadRef
from plimsoll_operator.engine.messages import Member
from plimsoll_operator.observe.source import BatchBuilder, Fetched

MIB = 2**20
NOW = 1_790_000_000.0 // 3600 * 3600  # a whole hour
WORKING_SET = Quantity.WORKING_SET


def member(row=0, pod="web-5d9-aaaaa", workload="web", container="app", limit=256 * MIB, **more):
    """Pod `pod` of Deployment shop/`workload`; its uid is `uid-<pod>` unless told otherwise."""
    key = ContainerKey(WorkloadRef("shop", "Deployment", workload), container, "")
    made = Member(
        row=row,
        key=key,
        namespace="shop",
        pod=pod,
        pod_uid=f"uid-{pod}",
        container=container,
        kube_node="n1",
        limit_bytes=limit,
        request_bytes=limit,
        policy=RowPolicy(),
        quantity=WORKING_SET,
    )
    return replace(made, **more)


@dataclass
class ScriptedSource:
    """Gives what the test wrote into `use`: (namespace, pod, container) -> bytes, stamped with now."""

    use: dict = field(default_factory=dict)
    lag_seconds: float = 0.0
    problems: tuple = ()
    raising: Exception | None = None
    name = "scripted"
    quantities = frozenset({WORKING_SET})
    wanted: list = field(default_factory=list)

    def set(self, pod, used, container="app"):
        self.use["shop", pod, container] = used

    def fetch(self, now_seconds, wanted):
        self.wanted.append(wanted)
        if self.raising is not None:
            raise self.raising
        builder = BatchBuilder()
        for name, used in self.use.items():
            for value in used if isinstance(used, list) else [used]:
                builder.add(name, now_seconds - self.lag_seconds, working_set_bytes=value)
        return Fetched(builder.build(), self.problems)

    def close(self):
        pass
