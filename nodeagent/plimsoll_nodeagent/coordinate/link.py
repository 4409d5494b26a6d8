"""The agent's stream to the operator: opened, kept alive, resumed, in a thread and event loop of its own.

In: a session of the core, who we are, what to say in greeting. Out: bodies to a callback, for the loop to act
on. Whatever breaks ends the stream and nothing else: the session keeps what has not been acknowledged, and
the next stream goes on from there, after a wait that the core chooses. The agent's loop never waits for it.
A letter that cannot be put on the wire, or is larger than an operator takes, is given up and counted, or it
would be the first of every stream.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

import grpc

from plimsoll.coordinate.messages import (
    LASTS_SECONDS,
    AgentBody,
    Drain,
    MessageError,
    NodeFacts,
    OperatorBody,
)
from plimsoll.coordinate.reconnect import Backoff
from plimsoll.coordinate.session import AgentSession
from plimsoll.coordinate.versions import ProtocolError
from plimsoll_nodeagent.coordinate.identity import IdentityError
from plimsoll_proto import service, wire
from plimsoll_proto.v1 import agent_pb2, operator_pb2

logger = logging.getLogger(__name__)

GREETING_SECONDS = 10.0  # an operator that does not answer a hello by then is not there
SETTLE_SECONDS = 2.0  # acknowledgements wait no longer for a message to travel with
LAST_WORD_SECONDS = 2.0  # for how a stream has ended, where writing to it failed first
IN_PART_SECONDS = 3600.0  # for so long it is said that something was too large
BEAT_AFTER = 2  # such waits in which nothing was said: then a sign of life
OPTIONS = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", service.MOST_RESPONSE_BYTES),
    ("grpc.lb_policy_name", "round_robin"),
    # Reconnecting is ours to pace: gRPC's own waits would come on top.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
)

# What writing raises where the stream has ended.
_ENDED = (grpc.aio.AioRpcError, asyncio.InvalidStateError)
Call = grpc.aio.StreamStreamCall[agent_pb2.AttendRequest, operator_pb2.AttendResponse]
AgentSide = AgentSession[AgentBody, OperatorBody | MessageError]


class Shows(Protocol):
    """Who the agent is, read anew for each stream (`identity.Identity`)."""

    def credentials(self) -> grpc.ChannelCredentials:
        """TLS both ways. Raises IdentityError."""

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a stream shows of its token. Raises IdentityError."""


@dataclass(slots=True)
class LinkState:
    """What /metrics and conditions say of the link."""

    attending: bool = False
    why: str = "not tried yet"
    streams_total: int = 0
    failures_total: Counter[str] = field(default_factory=Counter)
    too_large_total: Counter[str] = field(default_factory=Counter)
    too_large_why: str = ""
    too_large_seconds: float = -math.inf  # by the clock that is never set
    heard_seconds: float | None = None
    away_after_seconds: float = 15.0


class Link:
    """One agent's stream. `hear` is called in the link's thread and must only put things down."""

    def __init__(  # noqa: PLR0913 -- one argument for each part
        self,
        address: str,
        identity: Shows,
        session: AgentSide,
        facts: Callable[[], NodeFacts],
        hear: Callable[[OperatorBody], None],
        *,
        now: Callable[[], float],
        draw: Callable[[], float],
        server_name: str = "",
        backoff: Backoff | None = None,
        options: tuple[tuple[str, int], ...] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` is the wall clock, which may be set; `monotonic` says how long something has waited."""
        self._address, self._identity, self._session = address, identity, session
        self._facts, self._hear = facts, hear
        self._now, self._draw, self._monotonic = now, draw, monotonic
        self._backoff = backoff or Backoff()
        override = (("grpc.ssl_target_name_override", server_name),) if server_name else ()
        self._options = (*OPTIONS, *override, *options)
        self._guard = threading.Lock()  # of the session: two threads speak with it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self.state = LinkState()

    def offer(self, body: AgentBody, *, level: bool = False) -> bool:
        """Say something, from any thread; False where the buffer of what must arrive is full.

        What speaks of a moment (`LASTS_SECONDS`) is said while that lasts, and not after an absence.
        """
        lasts_seconds = LASTS_SECONDS.get(type(body), math.inf)
        with self._guard:
            taken = self._session.offer(
                body, level=level, lasts_seconds=lasts_seconds, now_seconds=self._monotonic()
            )
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(wake.set)
        return taken

    def in_part(self) -> str:
        """What the operator did not hear in the last hour, for it was too large; "" where it heard all."""
        late = self._monotonic() - self.state.too_large_seconds >= IN_PART_SECONDS
        return "" if late else self.state.too_large_why

    async def attend(self) -> None:
        """Open one stream after the other, until cancelled."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        failures = 0
        while True:
            attended = self.state.streams_total
            wait = await self._once()
            failures = 1 if self.state.streams_total > attended else failures + 1
            await asyncio.sleep(self._backoff.wait_seconds(failures, self._draw(), wait))

    async def _once(self) -> float:
        """One stream from its opening to its end; returns what the server asked to wait, seconds."""
        try:
            async with grpc.aio.secure_channel(
                self._address, self._identity.credentials(), options=self._options
            ) as channel:
                method = channel.stream_stream(
                    service.PATH,
                    request_serializer=service.request_bytes,
                    response_deserializer=service.response_of,
                )
                return await self._attend(cast("Call", method(metadata=self._identity.metadata())))
        except grpc.aio.AioRpcError as error:
            self._failed(error.code().name.lower(), error.details() or error.code().name)
            return service.retry_seconds(error.trailing_metadata())
        except (ProtocolError, IdentityError) as error:
            self._failed(type(error).__name__, str(error))
        except TimeoutError:
            self._failed("greeting", f"the operator did not answer in {GREETING_SECONDS:.0f} s")
        except Exception as error:  # of ours: the next stream may do without it, no stream cannot
            logger.exception("a stream to the operator ended for a fault of ours")
            self._failed("fault", f"{type(error).__name__}: {error}")
        finally:
            with self._guard:
                self._session.part()
            self.state.attending = False
        return 0.0

    async def _attend(self, call: Call) -> float:
        with self._guard:
            numbers = self._session.greet()
        async with asyncio.timeout(GREETING_SECONDS):
            await call.write(wire.hello(numbers, self._facts()))
            first = await call.read()
        if not isinstance(first, operator_pb2.AttendResponse):
            raise await _ended(call)
        welcome, away_after_seconds = wire.welcome_of(first)
        with self._guard:
            self._session.welcome(welcome)
        self._attended(away_after_seconds)
        listener, sender = asyncio.create_task(self._listen(call)), asyncio.create_task(self._send(call))
        try:
            await asyncio.wait((listener, sender), return_when=asyncio.FIRST_COMPLETED)
            if sender.done() and isinstance(sender.exception(), _ENDED):
                await asyncio.wait((listener,), timeout=LAST_WORD_SECONDS)
            if not listener.done():  # who cannot speak any more does not attend
                sender.result()
            return await listener
        finally:
            for each in (listener, sender):
                each.cancel()
            await asyncio.gather(listener, sender, return_exceptions=True)
            call.cancel()

    async def _listen(self, call: Call) -> float:
        while isinstance(message := await call.read(), operator_pb2.AttendResponse):
            self.state.heard_seconds = self._now()
            with self._guard:
                body = self._session.hear(wire.response_of(message))
            if isinstance(body, MessageError):
                logger.warning("the operator said something that makes no sense", extra={"why": str(body)})
            elif isinstance(body, Drain):
                self.state.why = f"the operator drains: {body.reason}"
                return service.retry_bounded(body.reconnect_after_seconds)
            elif body is not None:
                self._hear(body)
        raise await _ended(call)

    async def _send(self, call: Call) -> None:
        """Everything that is to be said, as fast as the stream takes it."""
        assert self._wake is not None
        quiet = 0  # times in a row that nothing was to be said
        while True:
            self._wake.clear()
            while (message := self._next(quiet)) is not None:
                quiet = 0
                await call.write(message)
            try:
                async with asyncio.timeout(SETTLE_SECONDS):
                    await self._wake.wait()
                quiet = 0
            except TimeoutError:
                quiet += 1

    def _next(self, quiet: int) -> agent_pb2.AttendRequest | None:
        while True:
            with self._guard:
                envelope = self._session.next(settle=quiet > 0, now_seconds=self._monotonic())
                if envelope is None and quiet >= BEAT_AFTER:
                    envelope = self._session.beat()
            if envelope is None:
                return None
            try:
                message = wire.request(envelope)
            except Exception:
                logger.exception("something cannot be told to the operator, and is given up")
            else:
                if (size_bytes := message.ByteSize()) <= service.MOST_REQUEST_BYTES:
                    return message
                self._too_large(message.WhichOneof("body") or "acknowledgement", size_bytes)
            with self._guard:
                self._session.give_up(envelope)

    def _too_large(self, kind: str, size_bytes: int) -> None:
        """gRPC would end the stream for it, and each one after, for it would be said again."""
        state, known = self.state, kind in self.state.too_large_total
        state.too_large_why = (
            f"a {kind} of {size_bytes} bytes, and an operator takes {service.MOST_REQUEST_BYTES}"
        )
        state.too_large_total[kind] += 1
        state.too_large_seconds = self._monotonic()
        if not known:  # a node that learns too much would say so every ten minutes
            logger.warning("too large for the operator, and given up: %s", state.too_large_why)

    def _attended(self, away_after_seconds: float) -> None:
        state = self.state
        state.attending, state.why, state.heard_seconds = True, "", self._now()
        state.away_after_seconds = away_after_seconds or state.away_after_seconds
        state.streams_total += 1
        logger.info("attending", extra={"operator": self._address, "protocol": str(self._session.version)})

    def _failed(self, kind: str, why: str) -> None:
        if self.state.why != why:
            logger.warning("no stream to the operator: %s", why, extra={"kind": kind})
        self.state.why = why
        self.state.failures_total[kind] += 1


def run_in_thread(link: Link) -> Callable[[], None]:
    """Attend in a daemon thread; returns what ends it and waits for its end."""
    started, tasks = threading.Event(), []

    async def main() -> None:
        task = asyncio.create_task(link.attend())
        tasks.append((asyncio.get_running_loop(), task))
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="coordinate", daemon=True)
    thread.start()
    started.wait()

    def end() -> None:
        loop, task = tasks[0]
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)
        thread.join(timeout=5.0)

    return end


async def _ended(call: Call) -> grpc.aio.AioRpcError:
    """The error that a stream ended with; a server that simply closed it is not there any more either."""
    code, details = await call.code(), await call.details()
    trailing = await call.trailing_metadata()
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), trailing or grpc.aio.Metadata(), details or "ended"
    )
