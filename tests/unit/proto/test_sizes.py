"""What an agent makes of a node with as many containers as there may be is less than an operator takes.

So no batch need ever be cut in two, which no operator would put together again: the newest samples of a node
replace those before them. In: the longest names and the least regular numbers that an agent can read.
"""

from dataclasses import replace

import numpy as np
import pytest

from plimsoll.coordinate import messages as core
from plimsoll.coordinate.columns import LARGEST, MOST_ROWS
from plimsoll.coordinate.session import Envelope, HelloNumbers
from plimsoll.coordinate.versions import PROTOCOL
from plimsoll.pages.control_types import OFF
from plimsoll.store.contributions import Contribution
from plimsoll.store.letters import Delta, Given, Judged, delta_payload, given_payload
from plimsoll.store.shared_kinds import KINDS_SHARED
from plimsoll_proto import service, wire

HIGHEST = 2**63 - 1
INDEXES = np.arange(core.MOST_INDEX - MOST_ROWS + 1, core.MOST_INDEX + 1, dtype=np.int64)
# The largest differences that there are, and a bitmap: an odd number keeps the common bits from being cut.
WORST = np.where(np.arange(MOST_ROWS) % 2 == 0, LARGEST - 1.0, 0.0)
WORST[-1] = np.nan
# As long as cgroups name them (`discover.names`).
ENTRIES = tuple(core.RosterEntry(int(index), "u" * 64, "c" * 64) for index in INDEXES)
ROSTER = core.Roster(ENTRIES, tuple(int(each) for each in INDEXES))


def columns(names):
    return dict.fromkeys(names, WORST)


BODIES = [
    core.SampleBatch(1e10, INDEXES, columns(core.SAMPLE_COLUMNS), LARGEST, HIGHEST),
    core.ForecastBatch(1e10, 5.0, INDEXES, columns(core.FORECAST_COLUMNS), 1.0),
    core.OutcomeBatch(1e10, INDEXES, columns(core.OUTCOME_COLUMNS)),
    ROSTER,
]


def request_bytes(body) -> int:
    return len(service.request_bytes(wire.request(Envelope(HIGHEST, HIGHEST, HIGHEST, body))))


@pytest.mark.parametrize("body", BODIES, ids=lambda each: type(each).__name__)
def test_the_largest_that_a_tick_says_is_less_than_an_operator_takes(body):
    assert request_bytes(body) < 0.7 * service.MOST_REQUEST_BYTES


def test_the_largest_hello_is_less_than_an_operator_takes():
    engines = tuple(core.Capability("e" * 64, "l" * 64, "m" * core.MOST_TEXT) for _ in range(64))
    roster = core.Roster(ENTRIES)
    facts = core.NodeFacts("n" * 253, "v" * 253, "k" * 253, engines, roster, 1e10)
    hello = wire.hello(HelloNumbers(PROTOCOL, HIGHEST, HIGHEST, HIGHEST, HIGHEST), facts)
    assert len(service.request_bytes(hello)) < 0.7 * service.MOST_REQUEST_BYTES


@pytest.mark.parametrize("kind", KINDS_SHARED)
def test_a_model_of_noise_is_far_less_than_either_side_takes(kind):
    vector = np.random.default_rng(7).normal(size=KINDS_SHARED[kind].length)
    judged = Judged(HIGHEST, 1.0 / 3.0, 2.0 / 3.0, HIGHEST)
    payload = delta_payload(Delta(Contribution(HIGHEST, 10**6, 1e10, vector), judged))
    delta = core.ModelDelta("c" * 64, kind, "w" * 253, 2, "b" * 64, 10**6, payload)
    assert request_bytes(delta) < 0.2 * service.MOST_REQUEST_BYTES
    version = core.ModelVersion(
        kind, "w" * 253, 9, 2, "c" * 64, given_payload(Given(9, vector, vector, True))
    )
    made = wire.response(Envelope(HIGHEST, HIGHEST, HIGHEST, version))
    assert len(service.response_bytes(made)) < 0.2 * service.MOST_RESPONSE_BYTES


def snapshot_bytes(containers: int, length: int) -> int:
    """Of so many containers whose names are so long."""
    name, policy = "n" * min(length, 63), replace(OFF, source=f"MemoryPolicy {'n' * 63}/{'p' * length}")
    workload = f"{'n' * 63}/Deployment/{'w' * length}/{name}"
    policies = tuple(
        core.ContainerPolicy("u" * 36, f"{at:064x}", name, policy, workload, f"{'i' * length} {name}")
        for at in range(containers)
    )
    snapshot = core.PolicySnapshot(HIGHEST, policies)
    return len(service.response_bytes(wire.response(Envelope(HIGHEST, HIGHEST, HIGHEST, snapshot))))


def test_the_policies_of_the_fullest_node_are_less_than_an_agent_takes():
    assert snapshot_bytes(MOST_ROWS, 253) < 0.7 * service.MOST_RESPONSE_BYTES


def test_the_policies_of_a_usual_node_are_little():
    assert 20_000 < snapshot_bytes(110, 20) < 50_000
