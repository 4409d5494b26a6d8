"""Usage-aware shrink, the operator's side: a limit falls only after the memory has really been given back.

In: what is wanted, what the agent reports, what the kubelet has in force, the time. Out: the next state of
one container's shrink; the shell sends, writes and asks for the raise back. ask → the agent reclaims → it
reports what is left → resize → the kernel's file is seen to have changed. Whatever else happens ends it:
before the write nothing needs undoing, after it the old limit is asked for again, with the reason, until it
is there. Who finds another limit than the one written has nothing to take back. A report counts only as long
as it is fresh: what was given back can be taken again.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from plimsoll.coordinate.messages import ShrinkReport, ShrinkRequest, ShrinkStage
from plimsoll.guard.proposal import say, whole_mebibytes

NOT_LET_THROUGH = "the old limit was not let through"


@dataclass(frozen=True, slots=True)
class ShrinkSettings:
    """Bounds of one shrink."""

    spare_fraction: float = 0.05  # of the target, free when it is written: less, and the kubelet refuses it
    least_gain_fraction: float = 0.05  # of the old limit; a smaller cut is not worth a resize
    reclaim_seconds: float = 120.0  # for the agent to get there
    fresh_seconds: float = 5.0  # a report older than this says nothing about the present
    verify_seconds: float = 60.0  # for the kubelet to do it and the kernel to hold it
    roll_back_seconds: float = 600.0  # for the guards to let the old limit through; then the forecast counts


class Step(StrEnum):
    """Where a shrink stands."""

    ASKED = "asked"  # the agent reclaims
    ROOM = "room"  # there is room below the target: to be written now
    WRITTEN = "written"  # waits for the kernel
    DONE = "done"
    ABANDONED = "abandoned"  # nothing was written
    ROLL_BACK = "roll-back"  # written, and to be taken back
    ROLLED_BACK = "rolled-back"
    SUPERSEDED = "superseded"  # written, and neither to be seen in the kernel nor taken back any more


ENDED = frozenset({Step.DONE, Step.ABANDONED, Step.ROLLED_BACK, Step.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose limit it is."""

    pod_uid: str
    container_name: str
    container_id: str
    kube_node: str


@dataclass(frozen=True, slots=True)
class Shrink:
    """One container's shrink. `since_seconds`: when it came to this step."""

    shrink_id: int
    of: Subject
    from_bytes: int
    wanted_bytes: int
    target_bytes: int
    step: Step
    since_seconds: float
    heard_seconds: float = float("-inf")
    remaining_bytes: int | None = None
    oom_kills_before: int | None = None
    tried_bytes: int | None = None  # a limit that was sent to be written: it may be there without an answer
    reason: str = ""

    @property
    def ended(self) -> bool:
        """True where nothing more is to come."""
        return self.step in ENDED

    @property
    def taken_back(self) -> bool | None:
        """At the end of one that was to be taken back, whether it was; None where nothing was to be."""
        if self.step is Step.ROLLED_BACK:
            return True
        return False if self.step is Step.SUPERSEDED and self.reason.endswith(NOT_LET_THROUGH) else None

    @property
    def request(self) -> ShrinkRequest:
        """What the agent is told in this step; it may hear it any number of times."""
        return ShrinkRequest(
            self.shrink_id, self.of.pod_uid, self.of.container_name, self.from_bytes, self.target_bytes,
            ShrinkSettings().reclaim_seconds, written=self.step is Step.WRITTEN,
            container_id=self.of.container_id,
        )  # fmt: skip


def asked(shrink_id: int, of: Subject, from_bytes: int, target_bytes: int, now_seconds: float) -> Shrink:
    """Begin a shrink. Raises ValueError where it would be none."""
    if not 0 < target_bytes < from_bytes:
        raise ValueError(f"{say(target_bytes)} is no shrink of {say(from_bytes)}")
    return Shrink(shrink_id, of, from_bytes, target_bytes, target_bytes, Step.ASKED, now_seconds)


def heard(shrink: Shrink, report: ShrinkReport, now_seconds: float, settings: ShrinkSettings) -> Shrink:
    """Take a report in; one about another shrink, or after the end, changes nothing."""
    if report.shrink_id != shrink.shrink_id or shrink.ended or shrink.step is Step.ROLL_BACK:
        return shrink
    before = report.oom_kills_total if shrink.oom_kills_before is None else shrink.oom_kills_before
    shrink = replace(shrink, heard_seconds=now_seconds, oom_kills_before=before)
    if report.oom_kills_total > before:
        return _fail(shrink, "the container was OOM-killed meanwhile", now_seconds)
    if shrink.step is Step.WRITTEN:
        return _observed(shrink, report, now_seconds)
    shrink = replace(shrink, remaining_bytes=report.remaining_bytes)
    if report.stage is ShrinkStage.STOPPED:
        return _stopped(shrink, report, now_seconds, settings)
    fits = report.remaining_bytes <= shrink.target_bytes * (1.0 - settings.spare_fraction)
    if fits:
        return shrink if shrink.step is Step.ROOM else _to(shrink, Step.ROOM, now_seconds)
    return _to(shrink, Step.ASKED, shrink.since_seconds)  # it has grown again: there is no room any more


def ticked(
    shrink: Shrink, now_seconds: float, settings: ShrinkSettings, *, present: bool, limit_bytes: int | None,
    in_force_bytes: int | None,
) -> Shrink:  # fmt: skip
    """Let time pass. `limit_bytes`: the spec's; `in_force_bytes`: the kubelet's (None: not reported)."""
    waited = now_seconds - shrink.since_seconds
    if shrink.ended:
        return shrink
    if shrink.step is Step.ROLL_BACK:
        return _back(shrink, now_seconds, settings, limit_bytes)
    if shrink.step is Step.WRITTEN:
        if limit_bytes not in (shrink.target_bytes, None):
            shrink = superseded(
                shrink, f"something else has set the limit, to {say(limit_bytes)}", now_seconds
            )
        else:
            shrink = _verified(shrink, now_seconds, settings, present=present, in_force_bytes=in_force_bytes)
    elif limit_bytes is not None and limit_bytes == shrink.tried_bytes:
        shrink = written(replace(shrink, target_bytes=limit_bytes), now_seconds)
    elif limit_bytes != shrink.from_bytes:
        shrink = _fail(shrink, f"the limit is {say(limit_bytes)} now, set by somebody else", now_seconds)
    elif not present:
        shrink = _fail(shrink, "the agent is away", now_seconds)
    elif not 0.0 <= waited <= settings.reclaim_seconds + settings.fresh_seconds:
        shrink = _fail(
            shrink, f"the agent did not get there in {settings.reclaim_seconds:.0f} s", now_seconds
        )
    return shrink


def may_write(shrink: Shrink, now_seconds: float, settings: ShrinkSettings) -> bool:
    """True where the limit may fall now: the agent has just seen the room."""
    return shrink.step is Step.ROOM and 0.0 <= now_seconds - shrink.heard_seconds <= settings.fresh_seconds


def tried(shrink: Shrink, limit_bytes: int | None) -> Shrink:
    """A resize leaves for the API server now, and its answer may be lost where the resize is not; None: what
    left was not carried out.
    """
    return replace(shrink, tried_bytes=limit_bytes)


def written(shrink: Shrink, now_seconds: float) -> Shrink:
    """The resize was accepted by the API server."""
    return _to(replace(shrink, tried_bytes=None), Step.WRITTEN, now_seconds)


def rolled_back(shrink: Shrink, now_seconds: float) -> Shrink:
    """The old limit is asked for again."""
    return _to(shrink, Step.ROLLED_BACK, now_seconds) if shrink.step is Step.ROLL_BACK else shrink


def superseded(shrink: Shrink, why: str, now_seconds: float) -> Shrink:
    """Something else is wanted of this container now, or set already; nothing is taken back."""
    if shrink.ended:
        return shrink
    written_before = shrink.step in (Step.WRITTEN, Step.ROLL_BACK)
    step = Step.SUPERSEDED if written_before else Step.ABANDONED
    return _to(replace(shrink, reason=why), step, now_seconds)


def _stopped(shrink: Shrink, report: ShrinkReport, now_seconds: float, settings: ShrinkSettings) -> Shrink:
    """The agent takes no more: the limit falls as far as there is room, or not at all."""
    least = whole_mebibytes(report.remaining_bytes / (1.0 - settings.spare_fraction))
    if least <= shrink.from_bytes * (1.0 - settings.least_gain_fraction):
        target = max(least, shrink.wanted_bytes)
        why = (
            f"{say(report.remaining_bytes)} are left: {report.reason}" if target > shrink.wanted_bytes else ""
        )
        return _to(replace(shrink, target_bytes=target, reason=why), Step.ROOM, now_seconds)
    return _fail(shrink, f"{say(report.remaining_bytes)} are left: {report.reason}", now_seconds)


def _observed(shrink: Shrink, report: ShrinkReport, now_seconds: float) -> Shrink:
    if report.memory_max_bytes == shrink.target_bytes:
        return _to(replace(shrink, remaining_bytes=report.remaining_bytes), Step.DONE, now_seconds)
    return shrink


def _verified(
    shrink: Shrink, now_seconds: float, settings: ShrinkSettings, *, present: bool, in_force_bytes: int | None
) -> Shrink:
    waited = now_seconds - shrink.since_seconds
    if 0.0 <= waited <= settings.verify_seconds:
        return shrink
    if in_force_bytes == shrink.target_bytes and not present:
        return _to(replace(shrink, reason="seen by the kubelet; the agent is away"), Step.DONE, now_seconds)
    text = f"after {settings.verify_seconds:.0f} s the kubelet has {say(in_force_bytes)} in force"
    return _fail(shrink, text, now_seconds)


def _back(shrink: Shrink, now_seconds: float, settings: ShrinkSettings, limit_bytes: int | None) -> Shrink:
    """A roll-back ends where the old limit is there, whoever set it, and where the guards never let it.

    A limit whose write was not answered may still be on its way to where we read.
    """
    waited = now_seconds - shrink.since_seconds
    arrived = shrink.tried_bytes is None or not 0.0 <= waited <= settings.fresh_seconds
    if limit_bytes is not None and limit_bytes >= shrink.from_bytes and arrived:
        return rolled_back(shrink, now_seconds)
    if 0.0 <= waited <= settings.roll_back_seconds:
        return shrink
    return superseded(shrink, f"{shrink.reason}; {NOT_LET_THROUGH}", now_seconds)


def _fail(shrink: Shrink, why: str, now_seconds: float) -> Shrink:
    may_be_there = shrink.step in (Step.WRITTEN, Step.ROLL_BACK) or shrink.tried_bytes is not None
    step = Step.ROLL_BACK if may_be_there else Step.ABANDONED
    return _to(replace(shrink, reason=why), step, now_seconds)


def _to(shrink: Shrink, step: Step, now_seconds: float) -> Shrink:
    return replace(shrink, step=step, since_seconds=now_seconds)
