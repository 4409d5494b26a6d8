"""The operator's side of the streams: lets agents in, carries messages, ends what breaks the rules.

In: streams. Out: bodies to a hearer, and what is offered to a node's session goes out on its stream. The
doors first (`doors`), then the token, the hello, the roster. A stream speaks for one node, and says nothing
of pods elsewhere. A replica that does not lead lets in as strictly, and carries the stream to the one that
does (`relay`). Method: one task reads, one writes, one has the token reviewed anew; whatever ends any of them
ends the stream, and the session stays for the next. A node that says more than any has to say is read more
slowly, until its own buffers are full.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.message import DecodeError

from plimsoll.coordinate.admission import Admission, AdmissionRate, EachAdmission, returns_after
from plimsoll.coordinate.attendance import Attendance
from plimsoll.coordinate.authority import TokenFacts, hello_refusal, judged_roster, token_refusal
from plimsoll.coordinate.messages import (
    AgentBody,
    Drain,
    LeaseAnswer,
    LeaseRequest,
    MessageError,
    NodeFacts,
    OperatorBody,
    PolicySnapshot,
    Roster,
)
from plimsoll.coordinate.session import Envelope, HelloNumbers, OperatorSession, WelcomeNumbers
from plimsoll.coordinate.versions import ProtocolError
from plimsoll_operator.coordinate import doors
from plimsoll_operator.coordinate.doors import Pace, Paces, let_in
from plimsoll_operator.coordinate.identity import ServerIdentity
from plimsoll_operator.coordinate.open_files import raised_open_files
from plimsoll_operator.coordinate.refused import NEXT_REPLICA_SECONDS, RefusedError
from plimsoll_operator.coordinate.relay import Relay
from plimsoll_operator.coordinate.tasks import first_to_end
from plimsoll_operator.coordinate.tokens import ReviewError, Tokens
from plimsoll_proto import service, wire
from plimsoll_proto.v1 import agent_pb2, operator_pb2

logger = logging.getLogger(__name__)

GREETING_SECONDS = 10.0
SETTLE_SECONDS = 5.0  # acknowledgements wait no longer for a message to travel with
BEAT_AFTER = 1  # such waits in which nothing was said: then a sign of life
DRAIN_SECONDS = 1.0  # until the first agents come back that were sent away
LAST_WORD_SECONDS = 1.0  # a stream that ends while the agent writes takes with it what the agent has not read
REVIEW_SECONDS = 60.0  # a token that is withdrawn, or whose pod is gone, ends its stream within this
UNREVIEWED_SECONDS = 300.0  # a stream goes on for so long while the API server does not say whose token it is
MOST_NONSENSE = 20  # messages of one stream that make no sense, until it is ended
OPTIONS = (
    ("grpc.max_receive_message_length", service.MOST_REQUEST_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 3),
    ("grpc.max_concurrent_streams", 4),
    # A renewed certificate counts after this at the latest.
    ("grpc.max_connection_age_ms", 1_800_000),
    ("grpc.max_connection_age_grace_ms", 10_000),
    ("grpc.so_reuseport", 0),
)

OperatorSide = OperatorSession[OperatorBody, AgentBody | MessageError]
Code = grpc.StatusCode
Context = grpc.aio.ServicerContext[Any, Any]


class Hearer(Protocol):
    """Who acts on what agents say. Called in the event loop; must not wait."""

    def greeted(self, kube_node: str, facts: NodeFacts, now_seconds: float) -> None:
        """A node's stream was opened."""

    def heard(self, kube_node: str, body: AgentBody, now_seconds: float) -> None:
        """A node has said something."""


@dataclass(slots=True)
class DoorCounts:
    """What happened at the door and on the streams."""

    streams_total: int = 0
    refusals_total: Counter[str] = field(default_factory=Counter)
    messages_total: Counter[str] = field(default_factory=Counter)
    duplicates_total: int = 0


@dataclass(slots=True)
class _Stream:
    session: OperatorSide
    streams: int
    wake: asyncio.Event
    replaced: asyncio.Event


@dataclass
class Coordination:
    """The service. `monotonic` paces the door, `now` is the wall clock that decisions are stamped with."""

    attendance: Attendance[OperatorBody, AgentBody | MessageError]
    tokens: Tokens
    username: str
    agents_name: str  # in the certificate of who opens a stream
    operators_name: str  # in that of a replica which carries one here
    hearer: Hearer
    kube_node_of_pod: Callable[[str], str | None]
    leads: Callable[[], bool]
    now: Callable[[], float]
    monotonic: Callable[[], float]
    admission: Admission = field(default_factory=Admission)
    addresses: EachAdmission = field(default_factory=lambda: EachAdmission(doors.ADDRESSES))
    networks: EachAdmission = field(default_factory=lambda: EachAdmission(doors.NETWORKS))
    audience: str = service.AUDIENCE
    relay: Relay | None = None  # None: where this replica does not lead, it takes no streams
    counts: DoorCounts = field(default_factory=DoorCounts)
    draining: bool = False
    messages: AdmissionRate = doors.MESSAGES
    leases: AdmissionRate = doors.LEASES
    streams: AdmissionRate = doors.STREAMS
    review_seconds: float = REVIEW_SECONDS
    unreviewed_seconds: float = UNREVIEWED_SECONDS
    _streams: dict[str, _Stream] = field(default_factory=dict)
    _paces: Paces = field(default_factory=Paces)

    def offer(self, kube_node: str, body: OperatorBody) -> bool:
        """Say something to a node; kept until it attends. False: it never has, or its buffer is full."""
        session = self.attendance.session(kube_node)
        if session is None:
            return False
        if not session.offer(body, level=isinstance(body, PolicySnapshot)):
            self.counts.refusals_total["full"] += 1
            return False
        if (stream := self._streams.get(kube_node)) is not None:
            stream.wake.set()
        return True

    def drain(self, why: str, first_seconds: float = DRAIN_SECONDS) -> None:
        """Send every agent away; nothing more is taken from it, so that a successor is told nothing twice.

        Each is told when to come back: not together, but as fast as a door like this one lets them in.
        """
        self.draining = True
        kube_nodes = list(self._streams)
        carried = 0 if self.relay is None else len(self.relay)
        waits = returns_after(len(kube_nodes) + carried, self.admission.rate, first_seconds)
        for kube_node, wait in zip(kube_nodes, waits, strict=False):
            self.offer(kube_node, Drain(wait, why))
        if self.relay is not None:
            self.relay.end(waits[len(kube_nodes) :])

    def takes(self) -> bool:
        """True while what agents say is taken over here."""
        return self.leads() and not self.draining

    async def attend(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """One stream, from the door to its end."""
        try:
            await self._attend(requests, context)
        except RefusedError as error:
            self.counts.refusals_total[error.kind] += 1
            await _abort(context, error.code, str(error), error.wait_seconds)
        except (ProtocolError, MessageError) as error:
            self.counts.refusals_total["protocol"] += 1
            await _abort(context, Code.FAILED_PRECONDITION, str(error))

    async def _attend(self, requests: AsyncIterator[bytes], context: Context) -> None:
        token, relay = self._admit(context)
        facts = await self._reviewed(token)
        first = await _first(requests)
        numbers, said = wire.hello_of(_message(first))
        if why := hello_refusal(facts, said.kube_node):
            raise RefusedError(Code.PERMISSION_DENIED, why, "node")
        wait = self._pace(said.kube_node).streams.wait_seconds(self.monotonic())
        let_in(wait, "too many streams of this node", "rate")
        if relay is not None:
            await relay.carry(first, requests, context, token)
            return
        self._own(said.kube_node, said.roster)
        stream, welcome = self._open(said, numbers)
        self.hearer.greeted(said.kube_node, said, self.now())
        patience = self.attendance.patience.away_after_seconds
        await context.write(wire.welcome(welcome, self.now(), patience))
        reader = asyncio.create_task(self._read(requests, stream, said.kube_node))
        writer = asyncio.create_task(self._write(context, stream))
        reviewer = asyncio.create_task(self._review(token, said.kube_node))
        try:
            await first_to_end(reader, writer, reviewer)
        finally:
            self._close(said.kube_node, stream)

    def _admit(self, context: Context) -> tuple[str, Relay | None]:
        """What costs nothing comes first; returns the token that is shown, and who carries the stream on."""
        metadata, now = dict(context.invocation_metadata() or ()), self.monotonic()
        relayed = service.RELAYED in metadata
        doors.checked_name(context, self.operators_name if relayed else self.agents_name)
        if not relayed:  # a replica carries many nodes' streams, and has let each of them in by its address
            places = zip(doors.places_of(context.peer()), (self.addresses, self.networks), strict=False)
            for place, each in places:
                let_in(each.wait_seconds(place, now), f"too many streams of {place}", "address")
        let_in(self.admission.wait_seconds(now), "too many streams", "rate")
        relay = None if self.leads() else self.relay
        if not self.leads() and (relay is None or relayed):
            raise RefusedError(Code.UNAVAILABLE, "this replica does not lead", "leader", NEXT_REPLICA_SECONDS)
        scheme, _, token = str(metadata.get(service.AUTHORIZATION, "")).partition(" ")
        if scheme != "Bearer" or not token:
            raise RefusedError(Code.UNAUTHENTICATED, "no bearer token", "token")
        return token, relay

    async def _reviewed(self, token: str) -> TokenFacts:
        try:
            facts = await self.tokens.facts(token)
        except ReviewError as error:
            raise RefusedError(Code.UNAVAILABLE, str(error), "review") from None
        if why := token_refusal(facts, self.username, self.audience):
            raise RefusedError(Code.UNAUTHENTICATED, why, "token")
        return facts

    async def _review(self, token: str, kube_node: str) -> None:
        """While a stream is open: whose token it is by now."""
        answered = self.monotonic()
        while True:
            await asyncio.sleep(self.review_seconds)
            try:
                facts = await self.tokens.facts(token, anew=True)
            except ReviewError as error:
                if self.monotonic() - answered > self.unreviewed_seconds:
                    raise RefusedError(Code.UNAVAILABLE, str(error), "review") from None
                continue
            answered = self.monotonic()
            why = token_refusal(facts, self.username, self.audience) or hello_refusal(facts, kube_node)
            if why:
                raise RefusedError(Code.UNAUTHENTICATED, why, "token")

    def _own(self, kube_node: str, roster: Roster) -> None:
        """Only pods of the speaker's node: a uid elsewhere is a lie, for neither ever moves."""
        alien = judged_roster(roster.added, kube_node, self.kube_node_of_pod).alien
        if alien:
            why = f"pod {alien[0].pod_uid} does not run on kube node {kube_node}"
            logger.warning("an agent speaks of another node's pods: %s", why)
            raise RefusedError(Code.PERMISSION_DENIED, why, "pod")

    def _open(self, said: NodeFacts, numbers: HelloNumbers) -> tuple[_Stream, WelcomeNumbers]:
        session, welcome = self.attendance.greet(said.kube_node, numbers, self.now())
        before = self._streams.get(said.kube_node)
        if before is not None:
            before.replaced.set()
            before.wake.set()
        stream = _Stream(session, session.streams, asyncio.Event(), asyncio.Event())
        self._streams[said.kube_node] = stream
        self.counts.streams_total += 1
        return stream, welcome

    def _close(self, kube_node: str, stream: _Stream) -> None:
        self.attendance.part(kube_node, stream.streams)
        if self._streams.get(kube_node) is stream:
            del self._streams[kube_node]

    async def _read(self, requests: AsyncIterator[bytes], stream: _Stream, kube_node: str) -> None:
        nonsense, pace = 0, self._pace(kube_node)
        async for text in requests:
            await pace.heard(self.monotonic)
            message = _message(text)
            if stream.replaced.is_set():
                raise _replaced()
            if not self.takes():  # what is left is for the next leader, and this one has the last word
                stream.wake.set()
                await asyncio.get_running_loop().create_future()
            now = self.now()
            self.attendance.heard(kube_node, now)
            kind = message.WhichOneof("body") or "acknowledgement"
            self.counts.messages_total[kind] += 1
            body = stream.session.hear(wire.request_of(message, batches_unread=True))
            if stream.session.owes:
                stream.wake.set()
            if isinstance(body, MessageError):
                nonsense += 1
                self.counts.refusals_total["nonsense"] += 1
                if nonsense > MOST_NONSENSE:
                    raise RefusedError(
                        Code.INVALID_ARGUMENT, f"{nonsense} messages make no sense: {body}", "nonsense"
                    )
            elif body is not None:
                self._heard(kube_node, body, now)

    def _pace(self, kube_node: str) -> Pace:
        return self._paces.of(kube_node, self.messages, self.leases, self.streams)

    def _heard(self, kube_node: str, body: AgentBody, now_seconds: float) -> None:
        if isinstance(body, Roster):
            self._own(kube_node, body)
        if isinstance(body, LeaseRequest) and self._asks_too_often(kube_node):
            self.counts.refusals_total["leases"] += 1
            self.offer(kube_node, LeaseAnswer(body.lease_id, 0, 0.0, "this node asks too often"))
            return
        self.hearer.heard(kube_node, body, now_seconds)

    def _asks_too_often(self, kube_node: str) -> bool:
        return self._pace(kube_node).leases.wait_seconds(self.monotonic()) > 0.0

    async def _write(self, context: Context, stream: _Stream) -> None:
        quiet = 0  # times in a row that nothing was to be said
        while True:
            stream.wake.clear()
            if stream.replaced.is_set():
                raise _replaced()
            if not self.leads():
                if (last := stream.session.beat()) is not None:  # all that was taken is acknowledged
                    await context.write(wire.response(last))
                    await asyncio.sleep(LAST_WORD_SECONDS)
                raise RefusedError(Code.UNAVAILABLE, "this replica does not lead any more", "leader")
            while (message := self._next(stream.session, quiet)) is not None:
                quiet = 0
                await context.write(message)
            try:
                async with asyncio.timeout(SETTLE_SECONDS):
                    await stream.wake.wait()
                quiet = 0
            except TimeoutError:
                quiet += 1

    def _next(self, session: OperatorSide, quiet: int) -> operator_pb2.AttendResponse | None:
        """What is to be said; what cannot be written, or is more than an agent takes, is given up: no stream
        would get past it.
        """
        while (envelope := _envelope(session, quiet)) is not None:
            kind = "unsaid"
            try:
                message = wire.response(envelope)
            except Exception:
                logger.exception("something cannot be told to %s, and is given up", session.kube_node)
            else:
                if (size_bytes := message.ByteSize()) <= service.MOST_RESPONSE_BYTES:
                    return message
                kind = "too_large"
                if not self.counts.refusals_total[kind]:  # one model may be for thousands of nodes
                    logger.warning("a %s of %d bytes is given up", message.WhichOneof("body"), size_bytes)
            session.give_up(envelope)
            self.counts.refusals_total[kind] += 1
        return None


def _replaced() -> RefusedError:
    return RefusedError(Code.ABORTED, "a newer stream of this node has replaced this one", "replaced")


def _envelope(session: OperatorSide, quiet: int) -> Envelope[OperatorBody] | None:
    envelope = session.next(settle=quiet > 0)
    return session.beat() if envelope is None and quiet >= BEAT_AFTER else envelope


async def _first(requests: AsyncIterator[bytes]) -> bytes:
    try:
        async with asyncio.timeout(GREETING_SECONDS):
            return await anext(requests)
    except TimeoutError:
        raise RefusedError(Code.DEADLINE_EXCEEDED, "no hello came", "greeting") from None
    except StopAsyncIteration:
        raise RefusedError(Code.CANCELLED, "the stream ended before a hello", "greeting") from None


def _message(text: bytes) -> agent_pb2.AttendRequest:
    try:
        return service.request_of(text)
    except DecodeError:
        raise ProtocolError("a message is no protobuf of ours") from None


async def _abort(context: Context, code: grpc.StatusCode, why: str, wait_seconds: float = 0.0) -> NoReturn:
    await context.abort(code, why, service.retry_trailer(wait_seconds))
    raise AssertionError("unreachable: abort raises")


async def start(
    coordination: Coordination,
    identity: ServerIdentity,
    address: str,
    port: int,
    options: tuple[tuple[str, int], ...] = (),
) -> tuple[grpc.aio.Server, int]:
    """Listen; returns the server and the port it has. Raises RuntimeError where it cannot.

    `options` of gRPC stand instead of ours of the same name. Each connection is an open file: the process may
    have as many as its hard limit allows from here on.
    """
    logger.info("this process may have %d open files", raised_open_files())
    server = grpc.aio.server(options=tuple((dict(OPTIONS) | dict(options)).items()))
    server.add_generic_rpc_handlers((service.handlers(coordination.attend),))
    bound = server.add_secure_port(f"{address}:{port}", identity.credentials())
    await server.start()
    return server, bound
