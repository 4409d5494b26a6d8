"""Burst leases, the operator's side: what is granted, how long it lasts, and that it ends.

In: requests with the limit in force, the policy's ceiling and the kube node's headroom by forecast. Out: a
grant or a refusal with its reason; the guards have the last word on the write. A grant takes its room at
once, and the place of the lease before it only when it is written. A request heard twice has the same answer;
heard again by an operator that does not know its predecessor's answer it raises nothing more, for what is
wanted is on top of what the agent read, not of what is in force by now. A lying agent gains little: a lease
at most doubles a limit, a node's leases stay within its headroom, and a container has a bounded number of
them an hour.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from plimsoll.guard.proposal import MIB, say, whole_mebibytes

ContainerUid = tuple[str, str]  # pod uid, container name
ANSWERS_KEPT = 4096
RESTORED_ID = -1  # of a lease that was granted by a predecessor: its agent asks by another number


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Bounds of leases."""

    lasts_seconds: float = 300.0
    most_fraction: float = 1.0  # of the limit before the first lease
    least_bytes: int = 8 * MIB  # less room is gone before it is there
    per_hour: int = 20  # grants of one container
    reserve_fraction: float = 0.05  # of what a kube node can give to pods, never leased


@dataclass(frozen=True, slots=True)
class LeaseAsk:
    """A request, with what the operator knows of the container."""

    lease_id: int
    uid: ContainerUid
    kube_node: str
    wanted_bytes: int
    limit_bytes: int | None
    ceiling_bytes: int | None  # of the policy
    headroom_bytes: int | None  # of the kube node, less `LeaseBook.unused_bytes`; None: not known
    read_bytes: int | None = None  # memory.max as the agent read it; None: taken for the limit in force


@dataclass(frozen=True, slots=True)
class Granted:
    """Raise to `limit_bytes`, until `until_seconds`."""

    lease_id: int
    limit_bytes: int
    until_seconds: float


@dataclass(frozen=True, slots=True)
class Refused:
    """No raise, and why."""

    lease_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Lent:
    """A lease as it is remembered where the operator that granted it is gone."""

    uid: ContainerUid
    before_bytes: int  # the limit before the first lease
    limit_bytes: int
    until_seconds: float


@dataclass(slots=True)
class _Lease:
    lease_id: int
    kube_node: str
    before_bytes: int
    limit_bytes: int
    granted_seconds: float
    until_seconds: float
    written: bool = False
    replaces: "_Lease | None" = None  # one that is written, as long as this one is not


def _lent(uid: ContainerUid, lease: _Lease) -> Lent:
    return Lent(uid, lease.before_bytes, lease.limit_bytes, lease.until_seconds)


def headroom_bytes(
    allocatable_bytes: int | None, expected_bytes: Iterable[float | None], settings: LeaseSettings
) -> int | None:
    """What a kube node can still give if every container reaches its forecast; None where one is unknown."""
    expected = list(expected_bytes)
    known = [each for each in expected if each is not None]
    if allocatable_bytes is None or len(known) != len(expected):
        return None
    return int(allocatable_bytes * (1.0 - settings.reserve_fraction) - sum(known))


class LeaseBook:
    """All leases that are in force."""

    def __init__(self, settings: LeaseSettings | None = None) -> None:
        self.settings = settings or LeaseSettings()
        self._leases: dict[ContainerUid, _Lease] = {}
        self._grants: dict[ContainerUid, list[float]] = {}
        self._answers: OrderedDict[tuple[ContainerUid, int], Granted | Refused] = OrderedDict()

    def __len__(self) -> int:
        return len(self._leases)

    def decide(self, ask: LeaseAsk, now_seconds: float) -> Granted | Refused:
        """Answer a request; the same one again has the same answer, while that holds."""
        key = (ask.uid, ask.lease_id)
        if key not in self._answers:
            self._answers[key] = self._decide(ask, now_seconds)
            while len(self._answers) > ANSWERS_KEPT:
                self._answers.popitem(last=False)
        answer = self._answers[key]
        if isinstance(answer, Granted) and now_seconds >= answer.until_seconds:
            return Refused(ask.lease_id, "this lease has ended")
        return answer

    def holds(self, uid: ContainerUid, now_seconds: float) -> bool:
        """True while a container has a lease: its limit is not lowered."""
        lease = self._leases.get(uid)
        return lease is not None and now_seconds < lease.until_seconds

    def wrote(self, uid: ContainerUid, granted: Granted, limit_bytes: int) -> Granted:
        """A grant's raise is there, as far as the guards let it; what it is answered with from now on."""
        lease = self._leases.get(uid)
        if lease is not None and lease.lease_id == granted.lease_id and not lease.written:
            lease.limit_bytes = min(lease.limit_bytes, limit_bytes)
            lease.written, lease.replaces = True, None
        answer = replace(granted, limit_bytes=limit_bytes)
        self._answers[uid, granted.lease_id] = answer
        return answer

    def standing(self) -> list[Lent]:
        """All that have not been taken out as ended, those included whose raise is under way."""
        return [_lent(uid, each) for uid, each in self._leases.items()]

    def lent(self, uid: ContainerUid) -> Lent | None:
        """A container's, as `standing` has it."""
        lease = self._leases.get(uid)
        return None if lease is None else _lent(uid, lease)

    def restore(self, lent: Lent, kube_node: str, least_until_seconds: float) -> None:
        """Take over a predecessor's lease; it lasts at least until then.

        What was there before it is the least that either says, if another was granted since.
        """
        known = self._leases.get(lent.uid)
        if known is not None:
            known.before_bytes = min(known.before_bytes, lent.before_bytes)
            return
        until = max(lent.until_seconds, least_until_seconds)
        self._leases[lent.uid] = _Lease(
            RESTORED_ID, kube_node, lent.before_bytes, lent.limit_bytes, 0.0, until, written=True
        )

    def limit(self, uid: ContainerUid) -> int | None:
        """What a container's lease raised its limit to."""
        lease = self._leases.get(uid)
        return None if lease is None else lease.limit_bytes

    def refuted(self, uid: ContainerUid, lease_id: int, reason: str) -> Refused:
        """A grant that the guards or the API server did not let through: what was before it still is."""
        lease = self._leases.get(uid)
        if lease is not None and lease.lease_id == lease_id and not lease.written:
            if lease.replaces is None:
                del self._leases[uid]
            else:
                self._leases[uid] = lease.replaces
            if lease.granted_seconds in (times := self._grants.get(uid, [])):
                times.remove(lease.granted_seconds)
        answer = Refused(lease_id, reason)
        self._answers[uid, lease_id] = answer
        return answer

    def unanswered(self, uid: ContainerUid, lease_id: int, reason: str) -> Refused:
        """A grant whose raise may be there or not, for the answer was lost: nobody may count on it, and what
        it may have raised is lent, is noted, and ends like any other.
        """
        lease = self._leases.get(uid)
        if lease is not None and lease.lease_id == lease_id:
            lease.written, lease.replaces = True, None
        answer = Refused(lease_id, reason)
        self._answers[uid, lease_id] = answer
        return answer

    def expired(self, now_seconds: float) -> list[Lent]:
        """Leases that have ended since the last call."""
        over = {uid: each for uid, each in self._leases.items() if now_seconds >= each.until_seconds}
        for uid in over:
            del self._leases[uid]
        hour = now_seconds - 3600.0
        kept = {uid: [each for each in times if each > hour] for uid, times in self._grants.items()}
        self._grants = {uid: times for uid, times in kept.items() if times}
        return [_lent(uid, each) for uid, each in over.items()]

    def unused_bytes(self, kube_node: str, reached_bytes: Mapping[ContainerUid, float | None]) -> int:
        """What leases have raised on a kube node above what each container has reached: what is lent and not
        taken yet, so that nobody else may have it. Of who is not among them, all that was raised.
        """
        lent = 0
        for uid, each in self._leases.items():
            if each.kube_node == kube_node:
                reached = reached_bytes.get(uid) or 0
                lent += max(0, each.limit_bytes - max(each.before_bytes, int(reached)))
        return lent

    def _decide(self, ask: LeaseAsk, now_seconds: float) -> Granted | Refused:
        if ask.limit_bytes is None or ask.headroom_bytes is None:
            missing = "the container's limit" if ask.limit_bytes is None else "the kube node's headroom"
            return Refused(ask.lease_id, f"{missing} is not known")
        recent = [each for each in self._grants.get(ask.uid, ()) if now_seconds - each < 3600.0]
        if len(recent) >= self.settings.per_hour:
            return Refused(ask.lease_id, f"{len(recent)} leases in an hour; it needs a higher limit")
        base = min(ask.limit_bytes, ask.read_bytes or ask.limit_bytes)
        room = self._room(ask, base)
        limit = whole_mebibytes(min(ask.limit_bytes + room, base + ask.wanted_bytes) - MIB + 1)
        little = room < self.settings.least_bytes
        if base < ask.limit_bytes and (little or limit <= ask.limit_bytes):
            limit = ask.limit_bytes  # what the agent read is behind: a raise is there, or on its way
        elif little:
            return Refused(
                ask.lease_id, f"there is room for {say(max(0, room))}, wanted {say(ask.wanted_bytes)}"
            )
        known = self._leases.get(ask.uid)
        before = ask.limit_bytes if known is None else known.before_bytes
        until = now_seconds + self.settings.lasts_seconds
        replaces = known if known is None or known.written else known.replaces
        self._leases[ask.uid] = _Lease(
            ask.lease_id, ask.kube_node, before, limit, now_seconds, until, replaces=replaces
        )
        self._grants[ask.uid] = [*recent, now_seconds]
        return Granted(ask.lease_id, limit, until)

    def _room(self, ask: LeaseAsk, base_bytes: int) -> int:
        """The least of what the node, the policy and the lease's own bound leave above the limit in force.

        Both bounds count from the limit before the first lease: of one that a predecessor granted that is
        what the agent still read.
        """
        limit, headroom = ask.limit_bytes or 0, ask.headroom_bytes or 0
        known = self._leases.get(ask.uid)
        before_bytes = base_bytes if known is None else known.before_bytes
        unknown_bytes = limit - base_bytes if known is None else 0
        most = int(before_bytes * (1.0 + self.settings.most_fraction))
        ceiling = most if ask.ceiling_bytes is None else min(most, ask.ceiling_bytes)
        return min(headroom - unknown_bytes, ceiling - limit)
