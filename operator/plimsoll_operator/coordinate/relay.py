"""Streams that end at a replica which does not lead, carried to the one that does.

In: an agent's stream that was let in here (rate, certificate, token, node), and where the leader is reached.
Out: the same bytes there and back, and in the end the leader's own status. A relay keeps nothing: numbers,
acknowledgements and the session are the agent's and the leader's, so that a relay may die, and a leader
change, without a message lost or taken twice. It is not believed either: the leader reviews the agent's own
token, which goes with the stream, and both replicas show certificates. One hop and no more: what was relayed
is refused by a replica that does not lead.
Method: a proxy of one HTTP/2 stream; two pumps with gRPC's flow control and no buffer of their own.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import grpc

from plimsoll_operator.coordinate.identity import IdentityError
from plimsoll_operator.coordinate.refused import NEXT_REPLICA_SECONDS, RefusedError
from plimsoll_proto import service

logger = logging.getLogger(__name__)

WELCOME_SECONDS = 5.0  # a leader that has not answered by then is not there; an agent waits for ten
STREAMS_OF_A_CONNECTION = 4  # what the leader's server takes of one (`server.OPTIONS`)
LAST_WORD_SECONDS = 2.0  # for a leader that is one no more to end its streams itself, all acknowledged
FRESH_SECONDS = 60.0  # an older connection gets no further stream: its certificate may have been renewed
OPTIONS = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", service.MOST_RESPONSE_BYTES),
    ("grpc.use_local_subchannel_pool", 1),  # else all channels to one replica would share a connection
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
)
Call = grpc.aio.StreamStreamCall[bytes, bytes]
Context = grpc.aio.ServicerContext[Any, Any]


class Shows(Protocol):
    """Who this replica is to another (`identity.ServerIdentity`)."""

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """TLS both ways. Raises IdentityError."""


@dataclass(eq=False, slots=True)
class _Lane:
    """One connection to a leader."""

    address: str
    channel: grpc.aio.Channel
    opened_seconds: float
    streams: int = 0
    retired: bool = False  # takes no further stream


@dataclass(eq=False, slots=True)
class _Carried:
    address: str
    wait_seconds: float = 0.0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    ends: asyncio.Event = field(default_factory=asyncio.Event)


class Relay:
    """Of one replica. `leader` says where the one that leads is reached, "" where that is not known."""

    def __init__(
        self, identity: Shows, leader: Callable[[], str], server_name: str, monotonic: Callable[[], float]
    ) -> None:
        self._identity, self._leader, self._monotonic = identity, leader, monotonic
        self._options = (*OPTIONS, ("grpc.ssl_target_name_override", server_name))
        self._lanes: list[_Lane] = []
        self._carried: set[_Carried] = set()
        self.streams_total = 0

    def __len__(self) -> int:
        return len(self._carried)

    def look(self) -> None:
        """End the streams to who does not lead any more: a leader whose machine is gone says nothing."""
        leader = self._leader()
        for each in self._carried:
            if each.address != leader:
                each.gone.set()

    def end(self, waits: Sequence[float]) -> None:
        """End all, each told for how many seconds: this replica goes. The leader stays, and its sessions."""
        for each, wait in zip(self._carried, waits, strict=True):
            each.wait_seconds = wait
            each.ends.set()
            each.gone.set()

    async def carry(self, first: bytes, requests: AsyncIterator[bytes], context: Context, token: str) -> None:
        """Carry one stream, whose first message is `first`, to its end. Raises RefusedError."""
        address = self._leader()
        if not address:
            raise _refused("this replica does not lead, and none is known that does", "leader")
        with self._lane(address) as lane, self._stream(address) as carried:
            call = _called(lane.channel, token)
            try:
                welcome = await _welcomed(call, first)
                self.streams_total += 1
                await context.write(welcome)
                await _pumped(call, requests, context, carried)
            except grpc.aio.AioRpcError as error:
                lane.retired |= error.code() is grpc.StatusCode.UNAVAILABLE
                raise _passed_on(error) from None
            finally:
                call.cancel()

    @contextmanager
    def _stream(self, address: str) -> Iterator[_Carried]:
        carried = _Carried(address)
        self._carried.add(carried)
        try:
            yield carried
        finally:
            self._carried.discard(carried)

    @contextmanager
    def _lane(self, address: str) -> Iterator[_Lane]:
        """A connection with room for one stream more; closed after its last."""
        lane = next((each for each in self._lanes if self._takes(each, address)), None) or self._open(address)
        lane.streams += 1
        try:
            yield lane
        finally:
            lane.streams -= 1
            if not lane.streams:
                self._lanes.remove(lane)
                # Cancelled with the stream it would stay open: it is closed by a task of its own.
                closing = asyncio.ensure_future(lane.channel.close())
                closing.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _takes(self, lane: _Lane, address: str) -> bool:
        fresh = self._monotonic() - lane.opened_seconds < FRESH_SECONDS
        return (
            fresh and not lane.retired and lane.address == address and lane.streams < STREAMS_OF_A_CONNECTION
        )

    def _open(self, address: str) -> _Lane:
        try:
            credentials = self._identity.channel_credentials()
        except IdentityError as error:
            raise _refused(f"the leader cannot be reached: {error}", "relay") from None
        lane = _Lane(
            address, grpc.aio.secure_channel(address, credentials, options=self._options), self._monotonic()
        )
        self._lanes.append(lane)
        return lane


def _called(channel: grpc.aio.Channel, token: str) -> Call:
    method: Any = channel.stream_stream(service.PATH)
    metadata = ((service.AUTHORIZATION, f"Bearer {token}"), (service.RELAYED, "1"))
    return cast("Call", method(metadata=metadata))


async def _welcomed(call: Call, hello: bytes) -> bytes:
    """The leader's answer to a hello."""
    try:
        async with asyncio.timeout(WELCOME_SECONDS):
            await call.write(hello)
            first = await call.read()
    except TimeoutError:
        raise _refused(f"the leader did not answer in {WELCOME_SECONDS:.0f} s", "relay") from None
    except asyncio.InvalidStateError:  # it ended while the hello was written
        first = grpc.aio.EOF
    if not isinstance(first, bytes):
        raise await _ended(call)
    return first


async def _pumped(call: Call, requests: AsyncIterator[bytes], context: Context, carried: _Carried) -> None:
    """Until the leader ends the stream, or is the leader no more. Raises how it ended."""
    up = asyncio.create_task(_up(call, requests))
    down = asyncio.create_task(_down(call, context))
    gone = asyncio.create_task(carried.gone.wait())
    try:
        await asyncio.wait((down, gone), return_when=asyncio.FIRST_COMPLETED)
        if not (down.done() or carried.ends.is_set()):
            await asyncio.wait((down,), timeout=LAST_WORD_SECONDS)
        if down.done():
            down.result()
            raise await _ended(call)
        why = "this replica ends" if carried.ends.is_set() else "the replica that led does so no more"
        raise RefusedError(grpc.StatusCode.UNAVAILABLE, why, "leader", carried.wait_seconds)
    finally:
        for each in (up, down, gone):
            each.cancel()
        await asyncio.gather(up, down, gone, return_exceptions=True)


async def _up(call: Call, requests: AsyncIterator[bytes]) -> None:
    """What the agent says; a stream that the leader has ended is told by the other pump."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        async for message in requests:
            await call.write(message)
        await call.done_writing()


async def _down(call: Call, context: Context) -> None:
    while isinstance(message := await call.read(), bytes):
        await context.write(message)


async def _ended(call: Call) -> grpc.aio.AioRpcError:
    code, details, trailing = await call.code(), await call.details(), await call.trailing_metadata()
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing or grpc.aio.Metadata(), details or "")


def _passed_on(error: grpc.aio.AioRpcError) -> RefusedError:
    """The leader's status as the agent is told it; a leader that is not there is no fault of the agent's."""
    if error.code() is grpc.StatusCode.OK:
        return RefusedError(grpc.StatusCode.UNAVAILABLE, "the leader ended the stream", "relay")
    wait_seconds = service.retry_seconds(error.trailing_metadata())
    return RefusedError(error.code(), f"by way of another replica: {error.details()}", "relay", wait_seconds)


def _refused(why: str, kind: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.UNAVAILABLE, why, kind, NEXT_REPLICA_SECONDS)
