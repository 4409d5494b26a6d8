"""The conditions of a profile: what keeps a workload from what its policy asks for, in words.

In: a group, what its profile remembers, the decisions of this loop, the operator's own state. Out:
conditions. Level-based: each is found anew every time; its time only moves where its status does. `Ready` is
always there, the others while they are true, and `Restored` for as long as a restore is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plimsoll.api.conditions import CONFLICT, dated
from plimsoll.api.fields import Condition
from plimsoll.api.precedence import Conflict
from plimsoll.guard.state import ControlState, ResizeStatus
from plimsoll_operator.actuate.resize import values_in_force
from plimsoll_operator.asks import Asks
from plimsoll_operator.leaking import projections
from plimsoll_operator.membership import Group
from plimsoll_operator.planning import Choice
from plimsoll_operator.records import ContainerRecord, PodRecord, ProfileRecord

READY, RESIZING, RESTORED = "Ready", "Resizing", "Restored"
UNSUPPORTED, PAUSED, LEAKING = "Unsupported", "Paused", "Leaking"
NEED_UNKNOWN = "NeedUnknown"  # the policy says limits.basis: needed, and the limit is made for usage
MESSAGE_MAX = 1024  # what the schema takes
# The worst first: the condition speaks of one pod and counts the others.
WEIGHT = (ResizeStatus.INFEASIBLE, ResizeStatus.ERROR, ResizeStatus.DEFERRED, ResizeStatus.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the conditions of all profiles are found from in one loop."""

    asks: Asks
    control: ControlState
    now_seconds: float

    def conditions(
        self, group: Group, record: ProfileRecord | None, choices: Mapping[str, Choice]
    ) -> tuple[Condition, ...]:
        """Conditions of one profile, those it had already with the time they had."""
        wanted = (
            self._ready(group, record),
            _conflict(group),
            resizing_condition(list(group.pods.values())),
            _restored(group, record, choices),
            self._leaking(group),
            self._need_unknown(group),
            self._unsupported(),
            self._paused(),
        )
        old = {each.type: each for each in record.conditions} if record is not None else {}
        generation = record.generation if record is not None else 1  # what a new object has
        return tuple(
            dated(each, old.get(each.type), generation, self.now_seconds)
            for each in wanted
            if each is not None
        )

    def _ready(self, group: Group, record: ProfileRecord | None) -> Condition:
        missing = [name for name, row in sorted(group.rows.items()) if not self._speaks(record, name, row)]
        if isinstance(group.policy, Conflict):
            reason, text = "Conflict", "policies tie for it: none of them acts"
        elif group.policy is None or not group.rows:
            reason, text = "NoPolicy", "no policy speaks for it"
        elif missing:
            reason, text = self._why(group, missing[0])
            text = f"container {missing[0]}: {text}"
        else:
            return Condition(type=READY, status="True", reason="Recommended")
        return Condition(type=READY, status="False", reason=reason, message=text[:MESSAGE_MAX])

    def _speaks(self, record: ProfileRecord | None, name: str, row: int) -> bool:
        if self.asks.knows(row):
            return True
        remembered = record.container(name) if record is not None else None
        return remembered is not None and remembered.recommended is not None

    def _why(self, group: Group, name: str) -> tuple[str, str]:
        """One word and a sentence for a container of which nothing is recommended."""
        if why := self.asks.why_silent(group.rows[name]):
            return why, SILENCE.get(why, "the engine holds it")
        if self.control.problems:
            return "SourceProblem", "; ".join(self.control.problems)
        return "NoHistory", "not enough history to recommend anything yet"

    def _leaking(self, group: Group) -> Condition | None:
        found = list(projections(group, self.asks, self.now_seconds))
        if not found:
            return None
        text = ". ".join(each.sentence() for each in found)[:MESSAGE_MAX]
        return Condition(type=LEAKING, status="True", reason="GrowsSteadily", message=text)

    def _need_unknown(self, group: Group) -> Condition | None:
        views = ((name, self.asks.basis(row)) for name, row in sorted(group.rows.items()))
        found = [(name, view) for name, view in views if view is not None and not view.basis.needed]
        if not found:
            return None
        name, view = max(found, key=lambda each: each[1].basis)
        text = f"container {name}: {view.sentence}"[:MESSAGE_MAX]
        return Condition(type=NEED_UNKNOWN, status="True", reason=view.basis.name.capitalize(), message=text)

    def _unsupported(self) -> Condition | None:
        if self.control.supported:
            return None
        if not self.control.version:
            text = "the version of the API server is not known; until it is, nothing is changed"
            return Condition(type=UNSUPPORTED, status="Unknown", reason="VersionUnknown", message=text)
        text = f"Kubernetes {self.control.version} is older than 1.35: limits are recommended, not changed"
        return Condition(type=UNSUPPORTED, status="True", reason="KubernetesTooOld", message=text)

    def _paused(self) -> Condition | None:
        if not self.control.paused:
            return None
        text = "nothing is changed until `plimsoll resume`"
        return Condition(type=PAUSED, status="True", reason="ControlConfigMap", message=text)


SILENCE = {
    "BackfillPending": "its past has not come out of Prometheus yet",
    "UsageStale": "the usage source gives no fresh sample of it",
    "UnitDoubted": "its samples are less than a 512th of its limit, or of what it used since its start: they"
    " are taken for another unit (a limit lowered by hand says that they are not)",
    "NeedUnknown": "its limit is made for needed memory, and what it needs now is not known",
}


def changed(wanted: Sequence[Condition], before: Sequence[Condition]) -> bool:
    """True where a status or a reason is another one; a sentence alone waits for the next routine write."""
    return {(each.type, each.status, each.reason) for each in wanted} != {
        (each.type, each.status, each.reason) for each in before
    }


def resizing_condition(pods: Sequence[PodRecord]) -> Condition | None:
    """How far the kubelets are with the resizes under way; None where there are none."""
    under_way = [(pod, pod.resize) for pod in pods if pod.resize is not None]
    if not under_way:
        return None
    pod, resize = min(under_way, key=lambda each: (WEIGHT.index(each[1].status), each[0].name))
    more = f"; and {len(under_way) - 1} more pods" if len(under_way) > 1 else ""
    text = f"pod {pod.name}: {resize.message or resize.status.value}"
    text = text[: MESSAGE_MAX - len(more)] + more
    return Condition(type=RESIZING, status="True", reason=resize.status.value, message=text)


def _conflict(group: Group) -> Condition | None:
    if not isinstance(group.policy, Conflict):
        return None
    text = group.policy.message[:MESSAGE_MAX]
    return Condition(type=CONFLICT, status="True", reason="SamePrecedence", message=text)


def _restored(group: Group, record: ProfileRecord | None, choices: Mapping[str, Choice]) -> Condition | None:
    if record is None or not record.restore:
        return None
    refused = next(((name, each) for name, each in sorted(choices.items()) if not each.decision.acts), None)
    away = [pod.name for pod in group.pods.values() if not _is_original(pod, record)]
    if not away:
        return Condition(type=RESTORED, status="True", reason="Done", message="the original resources hold")
    if refused is not None:
        name, choice = refused
        text, reason = f"container {name}: {choice.decision.message}", choice.decision.reason
    else:
        reason, text = "UnderWay", f"{len(away)} of {len(group.pods)} pods do not have them yet"
    return Condition(type=RESTORED, status="False", reason=reason[:64], message=text[:MESSAGE_MAX])


def _is_original(pod: PodRecord, record: ProfileRecord) -> bool:
    """True where every container asks for its original resources and the kubelet enforces them."""
    return not values_in_force(pod) and all(_has_original(each, record) for each in pod.containers)


def _has_original(container: ContainerRecord, record: ProfileRecord) -> bool:
    remembered = record.container(container.spec.name)
    if remembered is None or remembered.original is None:
        return True
    return (container.spec.limit_bytes, container.spec.request_bytes) == remembered.original
