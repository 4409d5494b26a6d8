"""Leadership: one operator acts, the others keep their indices warm and serve webhooks.

In: a Lease in `coordination.k8s.io`, and a clock that only ever counts up. Out: `holds()`, asked before
every write. The rules are client-go's: another's Lease has run out when it has not *changed* for its
duration as seen from here (two machines' clocks are never compared), and our own only counts for as long as
since the moment *before* the renewal that succeeded was sent. A process that was stopped and goes on finds
out by its own clock. Beside its name the holder writes where other replicas reach it, and what it does
without.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from plimsoll_operator.actuate.api import LEASES, ApiError, Body, KubeApi

logger = logging.getLogger(__name__)

LEASE_NAME = "plimsoll-operator"
# Holder and address, in one annotation: a holder of an older version leaves what its predecessor wrote.
REACHED_AT = "plimsoll.dev/reached-at"
# The same: holder, and what it does without (`degraded`).
DEGRADED = "plimsoll.dev/degraded"
# We stop acting this part of the duration before others may start.
SAFETY_FRACTION = 0.2
MOST_CHARACTERS = 1000


class NotLeaderError(RuntimeError):
    """A write was about to happen without leadership; it did not."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Where the Lease is and how long it lasts, in seconds."""

    namespace: str
    identity: str
    duration_seconds: float = 15.0
    renew_seconds: float = 5.0
    name: str = LEASE_NAME
    address: str = ""
    """Host and port at which other replicas reach this one; "" is written as none."""


class Leader:
    """Keeps (or waits for) the Lease; `monotonic` and `wall` are clocks in seconds."""

    def __init__(
        self,
        api: KubeApi,
        settings: LeaseSettings,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._api = api
        self._settings = settings
        self._monotonic = monotonic
        self._wall = wall
        self._held_until = float("-inf")
        self._seen: tuple[str, str] = ("", "")  # holder and renewTime last seen
        self._seen_at = float("-inf")
        self._mine: Body | None = None  # the Lease as we last wrote it
        self.degraded: Callable[[], str] = lambda: ""
        """What is away of what the holder works with, in a sentence; it is written with the next renewal."""
        self._other: tuple[str, float] = ("", float("-inf"))  # where another is reached, and until when

    def holds(self) -> bool:
        """True while this process may write."""
        return self._monotonic() < self._held_until

    def check(self) -> None:
        """Raise `NotLeaderError` unless this process may write now."""
        if not self.holds():
            raise NotLeaderError(f"{self._settings.identity} does not hold Lease {self._settings.name}")

    def reached_at(self) -> str:
        """Where the replica is reached that leads now; "" where this one does, or nobody knows."""
        address, until = self._other
        return address if not self.holds() and self._monotonic() < until else ""

    async def renew(self) -> bool:
        """Take, keep or watch the Lease once; returns `holds()`. API errors leave things as they are.

        Two tries fit into the time that a renewal is good for: one answer that is lost loses no leadership.
        """
        asked_at = self._monotonic()
        safe_seconds = self._settings.duration_seconds * (1.0 - SAFETY_FRACTION)
        try:
            async with asyncio.timeout(safe_seconds / 2.0):
                if await self._claim(asked_at):
                    self._held_until = asked_at + safe_seconds
        except ApiError as error:
            logger.warning("lease not renewed: %s", error)
        except TimeoutError:
            logger.warning("lease not renewed: no answer within %.1f s", safe_seconds / 2.0)
        return self.holds()

    async def release(self) -> None:
        """Give the Lease up at once, so that a standby need not wait."""
        if not self.holds():
            return
        self._held_until = float("-inf")
        try:
            lease = await self._api.read(LEASES, self._settings.namespace, self._settings.name)
            if _holder(lease) == self._settings.identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._api.replace(LEASES, self._settings.namespace, self._settings.name, lease)
        except ApiError as error:
            logger.info("lease not released: %s", error)

    async def keep(self) -> None:
        """Renew for ever; leadership comes and goes by itself."""
        was = False
        while True:
            now_leads = await self.renew()
            if now_leads != was:
                logger.info("leadership %s", "taken" if now_leads else "lost", extra={"leads": now_leads})
                was = now_leads
            await asyncio.sleep(self._settings.renew_seconds)

    async def _claim(self, asked_at: float) -> bool:
        settings = self._settings
        # While nobody else has written, one request keeps the Lease, as client-go's fast path does.
        mine, self._mine = self._mine, None
        if mine is not None and self.holds():
            try:
                return await self._replaced(mine, changed_hands=False)
            except ApiError as error:
                if not error.conflict:
                    raise
        try:
            lease = await self._api.read(LEASES, settings.namespace, settings.name)
        except ApiError as error:
            if not error.missing:
                raise
            return await self._create()
        holder, renewed = _holder(lease), str(lease.get("spec", {}).get("renewTime", ""))
        if (holder, renewed) != self._seen:
            self._seen, self._seen_at = (holder, renewed), asked_at
        lasts = float(lease.get("spec", {}).get("leaseDurationSeconds") or settings.duration_seconds)
        if holder not in ("", settings.identity) and asked_at < self._seen_at + lasts:
            self._held_until = float("-inf")
            self._other = (_reached_at(lease, holder), self._seen_at + lasts)
            return False
        return await self._take(lease, changed_hands=holder != settings.identity)

    async def _create(self) -> bool:
        body: Body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": self._metadata({"name": self._settings.name, "namespace": self._settings.namespace}),
            "spec": self._spec(0),
        }
        try:
            return self._wrote(await self._api.create(LEASES, self._settings.namespace, body))
        except ApiError as error:
            return self._outrun(error)

    async def _take(self, lease: Body, *, changed_hands: bool) -> bool:
        try:
            return await self._replaced(lease, changed_hands=changed_hands)
        except ApiError as error:
            return self._outrun(error)

    async def _replaced(self, lease: Body, *, changed_hands: bool) -> bool:
        """Write what was read; raises `ApiError`."""
        old = lease.get("spec") or {}
        transitions = int(old.get("leaseTransitions") or 0) + (1 if changed_hands else 0)
        spec = old | self._spec(transitions)
        if not changed_hands and old.get("acquireTime"):
            spec["acquireTime"] = old["acquireTime"]
        body = lease | {"metadata": self._metadata(lease.get("metadata") or {}), "spec": spec}
        return self._wrote(
            await self._api.replace(LEASES, self._settings.namespace, self._settings.name, body)
        )

    def _wrote(self, lease: Body) -> bool:
        self._mine = lease
        self._seen = (_holder(lease), str(lease.get("spec", {}).get("renewTime", "")))
        self._seen_at = self._monotonic()
        return True

    def _outrun(self, error: ApiError) -> bool:
        """Somebody was faster; any other error is raised again."""
        if not error.conflict:
            raise error
        self._held_until = float("-inf")
        return False

    def _degraded(self) -> str:
        try:
            return self.degraded()[:MOST_CHARACTERS]
        except Exception:  # a sentence is not worth the Lease
            logger.exception("what the operator does without could not be told")
            return ""

    def _metadata(self, metadata: Body) -> Body:
        """With our own address and state, or none; never with somebody else's."""
        said = {REACHED_AT: self._settings.address, DEGRADED: self._degraded()}
        own = {name: f"{self._settings.identity} {each}" for name, each in said.items() if each}
        before = metadata.get("annotations") or {}
        return metadata | {
            "annotations": {name: each for name, each in before.items() if name not in said} | own
        }

    def _spec(self, transitions: int) -> Body:
        now = datetime.fromtimestamp(self._wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": max(1, round(self._settings.duration_seconds)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }


def _reached_at(lease: Body, holder: str) -> str:
    """Where the holder says it is reached; "" where it says nothing, or another said it."""
    said = str(((lease.get("metadata") or {}).get("annotations") or {}).get(REACHED_AT) or "")
    name, _, address = said.partition(" ")
    return address if name == holder else ""


def _holder(lease: Body) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
