"""Coordination put together and served: the operator's part of it, from its settings.

In: settings, an API client, the loop and its parts. Out: a service that listens until it is closed. The
client is the one without a fence: a token is reviewed by a replica whether it leads or not, and a review
changes nothing.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import grpc

from plimsoll.coordinate.admission import Admission, AdmissionRate, EachAdmission
from plimsoll.coordinate.attendance import Attendance
from plimsoll.coordinate.mailbox import Bounds
from plimsoll.coordinate.messages import AgentBody, MessageError, OperatorBody
from plimsoll_operator.actuate.api import KubeApi
from plimsoll_operator.coordinate.desk import Desk
from plimsoll_operator.coordinate.identity import ServerIdentity
from plimsoll_operator.coordinate.lease_notes import LeaseNotes
from plimsoll_operator.coordinate.relay import Relay
from plimsoll_operator.coordinate.server import Coordination, start
from plimsoll_operator.coordinate.tokens import Tokens
from plimsoll_operator.loop import Loop
from plimsoll_operator.parts import Parts
from plimsoll_operator.settings import OperatorSettings
from plimsoll_proto.service import AUDIENCE

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 2.0  # for streams to end by themselves once they have been told to go
FLUSH_SECONDS = 5.0  # for what was heard of shared models to be kept
COUNT_SECONDS = 5.0
BOUNDS = Bounds(most_levels=1)  # the operator's only level says all there is to say of policies
LOOK_SECONDS = 1.0  # between two looks at who leads, where this replica carries streams


@dataclass(slots=True)
class Serving:
    """A service that listens."""

    service: Coordination
    server: grpc.aio.Server
    tasks: tuple[asyncio.Task[None], ...]
    port: int
    desk: Desk

    async def close(self) -> None:
        """Tell agents to go, stop, and keep what they were told was heard."""
        for each in self.tasks:
            each.cancel()
        self.service.drain("this replica ends")
        await self.server.stop(DRAIN_SECONDS)
        if self.desk.sharing is None:
            return
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.desk.sharing.flush()
        except TimeoutError:
            logger.warning("what nodes said of shared models was not kept within %.0f s", FLUSH_SECONDS)


async def serve(
    settings: OperatorSettings, api: KubeApi, loop: Loop, parts: Parts, now: Callable[[], float]
) -> Serving:
    """Give the loop a desk, and listen for agents. Raises IdentityError, and RuntimeError without a port."""
    attendance: Attendance[OperatorBody, AgentBody | MessageError] = Attendance(
        secrets.randbits(64) | 1, bounds=BOUNDS
    )
    desk = Desk(
        attendance,
        parts.membership,
        parts.asks,
        parts.metrics,
        offer=lambda kube_node, body: service.offer(kube_node, body),  # noqa: PLW0108 -- it is made below
        draw_id=lambda: secrets.randbits(63),
        raise_now=loop.raise_now,
        overlaid=parts.actor.expectations.overlaid,
        wake=loop.wake,
        notes=LeaseNotes(parts.api, parts.membership),
    )
    agents = settings.agents_namespace or settings.namespace
    identity = ServerIdentity(Path(settings.agents_cert_dir))
    name = settings.agents_server_name or f"plimsoll-operator-agents.{settings.namespace}.svc"
    of_address = settings.agents_per_second_of_address
    relay = Relay(identity, parts.leader.reached_at, name, time.monotonic)
    service = Coordination(
        attendance=attendance,
        tokens=Tokens(api, AUDIENCE, time.monotonic),
        username=f"system:serviceaccount:{agents}:{settings.agents_service_account}",
        agents_name=settings.agents_client_name or settings.agents_service_account,
        operators_name=name,
        hearer=desk,
        kube_node_of_pod=lambda uid: None if (pod := parts.membership.pod(uid)) is None else pod.kube_node,
        leads=parts.leader.holds,
        now=now,
        monotonic=time.monotonic,
        admission=Admission(AdmissionRate(settings.agents_per_second, 2.0 * settings.agents_per_second)),
        addresses=EachAdmission(AdmissionRate(of_address, 4.0 * of_address)),
        networks=EachAdmission(AdmissionRate(0.5 * settings.agents_per_second, settings.agents_per_second)),
        relay=relay if settings.agents_address else None,
    )
    server, port = await start(service, identity, settings.metrics_address, settings.agents_port)
    parts.desk, desk.shrink_ended = desk, loop.happenings.shrink
    logger.info("agents are heard on port %d", port)
    sharing = _share(settings, desk, service, parts, now)
    tasks = [asyncio.create_task(each) for each in (_count(service, relay, parts), _look(relay), *sharing)]
    return Serving(service, server, tuple(tasks), port, desk)


def _share(
    settings: OperatorSettings, desk: Desk, service: Coordination, parts: Parts, now: Callable[[], float]
) -> tuple[Coroutine[None, None, None], ...]:
    """Let nodes learn together, where there is a memory to keep what they say in."""
    if parts.keeper.memory is None:
        return ()
    from plimsoll_operator.coordinate.sharing import Sharing  # noqa: PLC0415  (needs the extra `redis`)

    desk.sharing = Sharing(
        parts.keeper.memory.memory,
        parts.metrics,
        service.offer,
        desk.classes_on,
        now,
        settings.models_least_nodes,
    )
    return (desk.sharing.forever(),)


async def _look(relay: Relay) -> None:
    """Leave a leader that is one no more, though it says nothing."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        relay.look()


async def _count(service: Coordination, relay: Relay, parts: Parts) -> None:
    """Bring the door's counts to /metrics."""
    streams, relayed, refusals = 0, 0, dict[str, int]()
    while True:
        counts = service.counts
        parts.metrics.count("plimsoll_agent_streams_total", counts.streams_total - streams)
        parts.metrics.count("plimsoll_agent_relays_total", relay.streams_total - relayed)
        parts.metrics.set("plimsoll_agents_relayed", float(len(relay)))
        streams, relayed = counts.streams_total, relay.streams_total
        for why, total in counts.refusals_total.items():
            parts.metrics.count("plimsoll_agent_refusals_total", total - refusals.get(why, 0), why=why)
            refusals[why] = total
        await asyncio.sleep(COUNT_SECONDS)
