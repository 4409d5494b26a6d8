"""The core's messages on the wire, and back.

In: envelopes of `plimsoll.coordinate.session` with bodies of `plimsoll.coordinate.messages`. Out: protobuf
messages, and the same envelopes again. What comes from the wire is checked here, once: `MessageError` for a
body that makes no sense (its numbers still count), `ProtocolError` for a message that cannot be placed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from plimsoll.coordinate import messages as core
from plimsoll.coordinate.columns import ColumnError
from plimsoll.coordinate.messages import MessageError
from plimsoll.coordinate.session import Envelope, HelloNumbers, WelcomeNumbers
from plimsoll.coordinate.versions import ProtocolError, ProtocolVersion
from plimsoll_proto.agent_bodies import REQUESTS, REQUESTS_OF, roster, roster_of
from plimsoll_proto.cells import milliseconds, seconds
from plimsoll_proto.operator_bodies import RESPONSES, RESPONSES_OF, UNSAID
from plimsoll_proto.v1 import agent_pb2, operator_pb2

LEVELS = frozenset({"sample_batch", "forecast_batch"})


def hello(numbers: HelloNumbers, facts: core.NodeFacts) -> agent_pb2.AttendRequest:
    """The first message of a stream."""
    made = agent_pb2.Hello(
        protocol_version=_version(numbers.version),
        kube_node_name=facts.kube_node,
        agent_epoch_id=numbers.agent_epoch_id,
        operator_epoch_id=numbers.operator_epoch_id,
        acknowledged_sequence_number=numbers.acknowledged,
        received_sequence_number=numbers.received,
        sent_unix_milliseconds=milliseconds(facts.sent_seconds),
        agent_version_name=facts.agent_version,
        kernel_release_name=facts.kernel,
        roster=roster(facts.roster),
        policies_wanted=facts.policies_wanted,
    )
    for each in facts.capabilities:
        made.kernel_capabilities.add(
            engine_name=each.engine, level_name=each.level, missing_reason=each.missing
        )
    return agent_pb2.AttendRequest(hello=made)


def hello_of(message: agent_pb2.AttendRequest) -> tuple[HelloNumbers, core.NodeFacts]:
    """Read a hello. Raises ProtocolError where it is none, MessageError where it makes no sense."""
    if message.WhichOneof("body") != "hello":
        raise ProtocolError("the first message is no hello")
    found = message.hello
    numbers = HelloNumbers(
        ProtocolVersion(found.protocol_version.major_number, found.protocol_version.minor_number),
        found.agent_epoch_id,
        found.operator_epoch_id,
        found.acknowledged_sequence_number,
        found.received_sequence_number,
    )
    capabilities = tuple(
        core.Capability(each.engine_name, each.level_name, each.missing_reason[: core.MOST_TEXT])
        for each in found.kernel_capabilities[:64]
    )
    facts = core.NodeFacts(
        found.kube_node_name,
        found.agent_version_name[: core.MOST_NAME],
        found.kernel_release_name[: core.MOST_NAME],
        capabilities,
        roster_of(found.roster),
        seconds(found.sent_unix_milliseconds),
        found.policies_wanted,
    )
    return numbers, facts


def welcome(
    numbers: WelcomeNumbers, now_seconds: float, away_after_seconds: float
) -> operator_pb2.AttendResponse:
    """The answer to a hello."""
    return operator_pb2.AttendResponse(
        welcome=operator_pb2.Welcome(
            protocol_version=_version(numbers.version),
            operator_epoch_id=numbers.operator_epoch_id,
            received_sequence_number=numbers.received,
            sent_unix_milliseconds=milliseconds(now_seconds),
            operator_away_after_milliseconds=milliseconds(away_after_seconds),
        )
    )


def welcome_of(message: operator_pb2.AttendResponse) -> tuple[WelcomeNumbers, float]:
    """Read a welcome and after how many seconds the operator counts as away. Raises ProtocolError."""
    if message.WhichOneof("body") != "welcome":
        raise ProtocolError("the operator's first message is no welcome")
    found = message.welcome
    version = ProtocolVersion(found.protocol_version.major_number, found.protocol_version.minor_number)
    numbers = WelcomeNumbers(version, found.operator_epoch_id, found.received_sequence_number)
    return numbers, seconds(found.operator_away_after_milliseconds)


def request(envelope: Envelope[core.AgentBody]) -> agent_pb2.AttendRequest:
    """What an agent says."""
    made = agent_pb2.AttendRequest(
        sequence_number=envelope.number,
        follows_sequence_number=envelope.follows,
        acknowledged_sequence_number=envelope.acknowledged,
    )
    if envelope.body is not None:
        name, write = REQUESTS[type(envelope.body)]
        getattr(made, name).CopyFrom(write(envelope.body))
    return made


def request_of(
    message: agent_pb2.AttendRequest, *, batches_unread: bool = False
) -> Envelope[core.AgentBody | MessageError]:
    """Read what an agent says; a body that makes no sense is its own MessageError, for its number counts.

    With `batches_unread` samples and forecasts are left as they came, to be read by who wants to know.
    """
    name = message.WhichOneof("body")
    numbers = (
        message.sequence_number,
        message.follows_sequence_number,
        message.acknowledged_sequence_number,
    )
    if batches_unread and name in LEVELS and message.sequence_number:
        read = partial(REQUESTS_OF[name], getattr(message, name))
        return Envelope(*numbers, core.Unread(read, foresees=name == "forecast_batch"))
    return Envelope(*numbers, _body_of(message, name, REQUESTS_OF, message.sequence_number))


def response(envelope: Envelope[core.OperatorBody]) -> operator_pb2.AttendResponse:
    """What the operator says."""
    made = operator_pb2.AttendResponse(
        sequence_number=envelope.number,
        follows_sequence_number=envelope.follows,
        acknowledged_sequence_number=envelope.acknowledged,
    )
    if envelope.body is not None:
        name, write = RESPONSES[type(envelope.body)]
        getattr(made, name).CopyFrom(write(envelope.body))
    return made


def response_of(message: operator_pb2.AttendResponse) -> Envelope[core.OperatorBody | MessageError]:
    """Read what the operator says."""
    name = message.WhichOneof("body")
    numbers = (
        message.sequence_number,
        message.follows_sequence_number,
        message.acknowledged_sequence_number,
    )
    return Envelope(*numbers, _body_of(message, name, RESPONSES_OF, message.sequence_number))


def _body_of(message: Any, name: str | None, readers: dict[str, Callable[[Any], Any]], number: int) -> Any:  # noqa: ANN401
    if name is None:
        # A letter of a kind that a newer minor version has added: it is taken over, and means nothing here.
        return None if number == 0 else MessageError("a message of a kind that this version does not know")
    if name in UNSAID:
        return MessageError(f"{name}: nobody says this any more")
    if name not in readers:
        raise ProtocolError(f"{name} is said once, in greeting")
    try:
        return readers[name](getattr(message, name))
    except (ColumnError, MessageError) as error:
        return MessageError(f"{name}: {error}")


def _version(version: ProtocolVersion) -> agent_pb2.ProtocolVersion:
    return agent_pb2.ProtocolVersion(major_number=version.major, minor_number=version.minor)
