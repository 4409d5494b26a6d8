"""What is said comes back as it was said, and bytes from anywhere raise nothing but what is announced."""

from contextlib import suppress

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.api.effective import Importance
from plimsoll.api.policy import NumaPlacement
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.coordinate import messages as core
from plimsoll.coordinate.columns import MOST_ROWS
from plimsoll.coordinate.session import Envelope, HelloNumbers, WelcomeNumbers
from plimsoll.coordinate.versions import PROTOCOL, ProtocolError
from plimsoll.pages.control_types import OFF, ReclaimPolicy
from plimsoll_proto import service, wire
from plimsoll_proto.v1 import agent_pb2, operator_pb2

INDEXES = np.array([0, 3, 4], dtype=np.int64)
SAMPLES = core.SampleBatch(
    1000.25,
    INDEXES,
    {
        name: np.array([4096.0 * 1000, np.nan, 7.0 * number])
        for number, name in enumerate(core.SAMPLE_COLUMNS)
    },
    available_bytes=1 << 33,
    dropped_total=3,
)
FORECASTS = core.ForecastBatch(
    1.5, 5.0, INDEXES, {name: np.array([1.0, 2.0, np.nan]) for name in core.FORECAST_COLUMNS}, 0.25
)
OUTCOMES = core.OutcomeBatch(2.0, INDEXES, {name: np.array([1.0, 2.0, 3.0]) for name in core.OUTCOME_COLUMNS})
AGENT = [
    core.Roster((core.RosterEntry(1, "uid", "id", "app"),), (4, 5)),
    core.ModelDelta("c", "survival", "web", 1, "b", 9, b"\0\1"),
    core.ShrinkReport(2**63, core.ShrinkStage.STOPPED, 5, None, "pressure", 1),
    core.ShrinkReport(1, core.ShrinkStage.OBSERVED, 5, 0),
    core.ShrinkReport(1, core.ShrinkStage.REACHED, 5, 4096),
    core.LeaseRequest(7, 1, 100, 200, 300, 4.5, 1000.0),
]
ALL_SAID = ReclaimPolicy(
    ReclaimMode.PREDICTIVE,
    0.02,
    0.05,
    Importance.HIGH,
    True,
    "MemoryPolicy shop/web",
    NumaPlacement.BIND,
    True,
)
OPERATOR = [
    core.ShrinkRequest(1, "uid", "app", 100, 50, 120.0, True, "abc"),
    core.ShrinkCancel(1, "somebody else"),
    core.LeaseAnswer(7, 0, 0.0, "no headroom"),
    core.LeaseAnswer(7, 300, 300.0),
    core.ModelVersion("survival", "web", 4, 1, "sum", b"\2"),
    core.PolicySnapshot(1_800_000_000_123),
    core.PolicySnapshot(
        7,
        (
            core.ContainerPolicy("uid", "c1", "app", OFF),
            core.ContainerPolicy("uid", "c2", "proxy", ALL_SAID, "shop/Deployment/web/proxy", "nginx proxy"),
        ),
    ),
    core.Drain(5.0, "upgrade"),
]


@pytest.mark.parametrize("body", AGENT, ids=lambda each: type(each).__name__)
def test_what_an_agent_says_comes_back(body):
    sent = Envelope(5, 4, 3, body)
    assert wire.request_of(service.request_of(service.request_bytes(wire.request(sent)))) == sent


@pytest.mark.parametrize("body", OPERATOR, ids=lambda each: type(each).__name__)
def test_what_the_operator_says_comes_back(body):
    sent = Envelope(5, 4, 3, body)
    assert wire.response_of(service.response_of(service.response_bytes(wire.response(sent)))) == sent


@pytest.mark.parametrize("batch", [SAMPLES, FORECASTS, OUTCOMES], ids=lambda each: type(each).__name__)
def test_batches_come_back_with_what_is_missing(batch):
    back = wire.request_of(
        service.request_of(service.request_bytes(wire.request(Envelope(1, 0, 0, batch))))
    ).body
    assert type(back) is type(batch)
    np.testing.assert_array_equal(back.indexes, batch.indexes)
    assert back.columns.keys() == batch.columns.keys()
    for name, column in batch.columns.items():
        np.testing.assert_array_equal(back.columns[name], column)
    others = {name for name in batch.__slots__ if name not in ("indexes", "columns")}
    assert {name: getattr(back, name) for name in others} == {name: getattr(batch, name) for name in others}


def test_thirty_containers_take_little_on_the_wire():
    """As loadgen's: usage of whole pages between 50 MiB and 4 GiB."""
    draw = np.random.default_rng(7)
    usage = draw.integers(12_800, 1_048_576, 30) * 4096.0
    columns = {name: np.full(30, np.nan) for name in core.SAMPLE_COLUMNS}
    columns |= {"usage_bytes": usage, "memory_max_bytes": np.full(30, 2.0**32)}
    batch = core.SampleBatch(1.8e9, np.arange(30, dtype=np.int64), columns)
    assert len(service.request_bytes(wire.request(Envelope(1, 0, 0, batch)))) < 30 * 7


def test_greetings_come_back():
    numbers = HelloNumbers(PROTOCOL, 2**64 - 1, 5, 6, 7)
    facts = core.NodeFacts(
        "node-a", "0.1.0", "6.12", (core.Capability("reclaim", "plain", "too old"),), AGENT[0], 12.5, True
    )
    assert wire.hello_of(wire.hello(numbers, facts)) == (numbers, facts)
    answer = WelcomeNumbers(PROTOCOL, 9, 4)
    assert wire.welcome_of(wire.welcome(answer, 1.0, 15.0)) == (answer, 15.0)


def test_a_greeting_that_is_none_ends_the_stream():
    with pytest.raises(ProtocolError, match="no hello"):
        wire.hello_of(wire.request(Envelope(1, 0, 0, AGENT[0])))
    with pytest.raises(ProtocolError, match="said once"):
        wire.request_of(wire.hello(HelloNumbers(PROTOCOL, 1, 0, 0, 0), core.NodeFacts("node-a")))
    with pytest.raises(ProtocolError, match="no welcome"):
        wire.welcome_of(wire.response(Envelope(1, 0, 0, OPERATOR[2])))


def test_a_kind_that_a_newer_version_added_counts_and_means_nothing():
    newer = agent_pb2.AttendRequest(sequence_number=4, follows_sequence_number=3).SerializeToString()
    newer += b"\xf2\x01\x02\x08\x01"  # field 30, a message: what a next minor version may add to the body
    heard = wire.request_of(service.request_of(newer))
    assert (heard.number, heard.follows) == (4, 3)
    assert isinstance(heard.body, core.MessageError)


@pytest.mark.parametrize("name", ["placement_moves"])
def test_what_nobody_says_any_more_counts_and_means_nothing(name):
    message = operator_pb2.AttendResponse(sequence_number=4, follows_sequence_number=3)
    getattr(message, name).SetInParent()
    heard = wire.response_of(message)
    assert heard.number == 4
    assert isinstance(heard.body, core.MessageError)


def policies_heard(*said, **fields):
    each = {"container_id": "c1", "reclaim_mode_name": "Cold", "importance_name": "Normal", **fields}
    snapshot = operator_pb2.PolicySnapshot(container_policies=said or [operator_pb2.ContainerPolicy(**each)])
    return wire.response_of(operator_pb2.AttendResponse(sequence_number=1, policy_snapshot=snapshot)).body


@pytest.mark.parametrize(
    "fields",
    [
        {"container_id": ""},
        {"container_id": "c" * 300},
        {"max_pressure_ratio": -0.1},
        {"max_pressure_ratio": 1.5},
        {"refault_budget_ratio": float("nan")},
    ],
    ids=str,
)
def test_policies_that_make_no_sense_replace_nothing(fields):
    assert isinstance(policies_heard(), core.PolicySnapshot)
    assert isinstance(policies_heard(**fields), core.MessageError)


def test_policies_of_more_containers_than_a_node_has_are_refused():
    many = [operator_pb2.ContainerPolicy(container_id=f"c{number}") for number in range(MOST_ROWS + 1)]
    assert isinstance(policies_heard(*many), core.MessageError)
    assert isinstance(policies_heard(*many[:-1]), core.PolicySnapshot)


@pytest.mark.parametrize("fields", [{"reclaim_mode_name": "Clever"}, {"importance_name": "Sacred"}])
def test_a_word_that_a_newer_operator_knows_is_the_most_careful_one(fields):
    (found,) = policies_heard(**fields).policies
    assert (found.policy.mode, found.policy.importance) == (ReclaimMode.OFF, Importance.CRITICAL)
    (moved,) = policies_heard(numa_placement_name="Everywhere").policies
    assert (moved.policy.mode, moved.policy.numa) == (ReclaimMode.COLD, NumaPlacement.OFF)


def nonsense(**fields: object) -> object:
    return wire.request_of(agent_pb2.AttendRequest(sequence_number=1, **fields)).body


def test_bodies_that_make_no_sense_are_errors_with_their_numbers():
    twice = wire.request(Envelope(1, 0, 0, SAMPLES)).sample_batch
    twice.container_index.scaled_deltas[1] = 0
    assert "stands twice" in str(nonsense(sample_batch=twice))
    short = wire.request(Envelope(1, 0, 0, SAMPLES)).sample_batch
    del short.usage_bytes.scaled_deltas[0]
    assert "a column of 2 rows in a batch of 3" in str(nonsense(sample_batch=short))
    below = wire.request(Envelope(1, 0, 0, SAMPLES)).sample_batch
    below.usage_bytes.scaled_deltas[0] = -5
    assert "usage_bytes is negative" in str(nonsense(sample_batch=below))
    report = agent_pb2.ShrinkReport(shrink_stage=agent_pb2.SHRINK_STAGE_UNSPECIFIED)
    assert "stage" in str(nonsense(shrink_report=report))
    assert "bytes that no container has" in str(
        nonsense(lease_request=agent_pb2.LeaseRequest(wanted_bytes=-1))
    )
    name = agent_pb2.RosterEntry(pod_uid="x" * 300, container_id="c")
    assert "too long" in str(nonsense(roster=agent_pb2.Roster(added_entries=[name])))


MESSAGES = [service.request_bytes(wire.request(Envelope(1, 0, 0, each))) for each in (*AGENT, SAMPLES)]
CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(MESSAGES), CHANGES, st.integers(0, 400))
def test_damaged_and_truncated_messages_raise_nothing_else(message, changes, kept):
    damaged = bytearray(message)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    with suppress(DecodeError, ProtocolError):
        wire.request_of(service.request_of(bytes(damaged[: max(1, kept)])))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_else(text):
    with suppress(DecodeError, ProtocolError, core.MessageError):
        message = service.request_of(text)
        wire.request_of(message)
        wire.hello_of(message)


def test_batches_that_are_left_unread_say_the_same_when_they_are_read_or_that_they_make_no_sense():
    said = wire.request(Envelope(1, 0, 0, SAMPLES))
    unread = wire.request_of(said, batches_unread=True)
    assert (unread.number, isinstance(unread.body, core.Unread)) == (1, True)
    np.testing.assert_array_equal(unread.body.read().columns["usage_bytes"], SAMPLES.columns["usage_bytes"])
    said.sample_batch.container_index.scaled_deltas[1] = 0
    with pytest.raises(core.MessageError, match="stands twice"):
        wire.request_of(said, batches_unread=True).body.read()
