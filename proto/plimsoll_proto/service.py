"""The one method, by name: what both sides register and call.

In: nothing. Out: the names and serializers that gRPC wants. Written by hand instead of generated: these few
lines are typed, the generated ones are not.
"""

import contextlib
from collections.abc import Iterable
from typing import Any

import grpc

from plimsoll_proto.v1 import agent_pb2, operator_pb2

SERVICE = "plimsoll_proto.v1.CoordinationService"
METHOD = "Attend"
PATH = f"/{SERVICE}/{METHOD}"
RETRY_AFTER = "retry-after-milliseconds"  # trailer of a stream that is refused: when to come back
LONGEST_RETRY_SECONDS = 600.0  # nobody is sent away for longer, whatever a trailer or a drain asks for
AUTHORIZATION = "authorization"
RELAYED = "plimsoll-relayed"  # metadata of a stream that another replica carries here: it goes no further
AUDIENCE = "plimsoll"  # of the agents' tokens
MOST_REQUEST_BYTES = 1 << 20  # an agent's message; how large its own may be: tests/unit/proto/test_sizes.py
MOST_RESPONSE_BYTES = 8 << 20  # an operator's; a model is the largest

request_bytes = agent_pb2.AttendRequest.SerializeToString
request_of = agent_pb2.AttendRequest.FromString
response_bytes = operator_pb2.AttendResponse.SerializeToString
response_of = operator_pb2.AttendResponse.FromString


def handlers(attend: Any) -> grpc.GenericRpcHandler:  # noqa: ANN401 -- a coroutine function, as grpc.aio wants it
    """The server's side; `attend(requests, context)` answers a stream of bytes, with messages or bytes.

    A replica that carries a stream to another one has no need to read what it carries.
    """
    method: Any = grpc.stream_stream_rpc_method_handler(attend, response_serializer=_written)
    return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})


def retry_trailer(wait_seconds: float) -> tuple[tuple[str, str], ...]:
    """What a refused stream ends with, so that who is refused comes back after so many seconds."""
    return ((RETRY_AFTER, str(round(retry_bounded(wait_seconds) * 1000.0))),) if wait_seconds else ()


def retry_seconds(trailing: Iterable[tuple[str, str | bytes]] | None) -> float:
    """What a stream's trailer asks to wait, within bounds; 0 where it asks for nothing that can be read."""
    for name, value in trailing or ():
        if name == RETRY_AFTER:
            with contextlib.suppress(ValueError):
                return retry_bounded(float(value) / 1000.0)
    return 0.0


def retry_bounded(wait_seconds: float) -> float:
    """0 to `LONGEST_RETRY_SECONDS`; what is no number asks for nothing."""
    return min(LONGEST_RETRY_SECONDS, max(0.0, wait_seconds))


def _written(message: operator_pb2.AttendResponse | bytes) -> bytes:
    return message if isinstance(message, bytes) else response_bytes(message)
