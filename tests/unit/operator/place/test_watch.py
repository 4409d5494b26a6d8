"""The judge is told what kube nodes used, hour by hour, of the very containers it was said of."""

from dataclasses import replace

import numpy as np
import pytest

from builders.clusters import MIB
from builders.placing import room_node
from plimsoll_operator import parse
from plimsoll_operator.engine.messages import NodeUse, no_loads
from plimsoll_operator.place.kube_nodes import KubeNodes
from plimsoll_operator.place.sums import no_sums
from plimsoll_operator.place.watch import NodeWatch

HOUR = 3600.0
NOW = 500_000 * HOUR
NODES = KubeNodes(parse.kube_node(room_node(name)) for name in ("n1", "n2"))


def foretold(mib=(1000.0, 200.0), asked=(500.0, 500.0), containers=(2, 2)):
    sums = no_sums(NODES)
    sums.foretold_bytes[:] = np.array(mib)[:, None] * MIB
    sums.variance[:] = (20 * MIB) ** 2
    sums.asked_bytes[:] = np.array(asked) * MIB
    sums.containers[:] = containers
    return sums


def use(mib=(1000.0, 200.0), members=(2, 2), sampled=(2, 2)):
    whole = (np.array(each, dtype=np.int32) for each in (members, sampled))
    return NodeUse(("n1", "n2"), np.array(mib) * MIB, *whole)


def hours(watch, sums, uses, number=3, start=NOW):
    for at in range(number * 60 + 1):
        watch.look(NODES, sums, uses, start + 60 * at)
    return watch.judge


def test_nothing_is_believed_before_an_hour_is_over():
    watch = NodeWatch()
    for at in range(60):
        watch.look(NODES, foretold(), use(), NOW + 60 * at)
    assert not watch.judge.trusted
    watch.look(NODES, foretold(), use(), NOW + HOUR)
    assert watch.judge.trusted


def test_forecasts_that_tell_use_better_than_requests_are_believed():
    assert hours(NodeWatch(), foretold(), use()).trusted


def test_forecasts_that_tell_it_worse_are_not():
    judge = hours(NodeWatch(), foretold(mib=(200.0, 1000.0), asked=(1000.0, 200.0)), use())
    assert judge.judged
    assert not judge.trusted


def test_sums_that_are_promised_badly_widen_all_others():
    calm, wild = hours(NodeWatch(), foretold(), use()), hours(NodeWatch(), foretold(), use((1080.0, 280.0)))
    assert calm.inflation == pytest.approx(1.0)
    assert wild.inflation > 2.0


def test_each_node_is_widened_by_what_it_deviated_itself():
    judge = hours(NodeWatch(), foretold(), use((1080.0, 200.0)), number=24)
    wild, calm = judge.inflation_of(["n1", "n2"])
    assert wild > 1.5 * calm


def test_what_a_history_waits_for_is_not_compared():
    assert not hours(NodeWatch(), foretold(), use((np.nan, np.nan))).judged


def test_the_most_of_the_hour_counts():
    watch = NodeWatch()
    for at in range(61):
        watch.look(NODES, foretold(), use((1000.0 if at == 30 else 10.0, 200.0)), NOW + 60 * at)
    assert watch.judge.error == pytest.approx(0.0)
    assert watch.judge.reference > 0


@pytest.mark.parametrize(
    ("sums", "uses"),
    [
        (foretold(), use(sampled=(1, 0))),
        (foretold(containers=(1, 1)), use()),
        (foretold(), NodeUse(("gone",), np.ones(1), np.ones(1, np.int32), np.ones(1, np.int32))),
    ],
)
def test_what_is_not_of_the_same_containers_is_not_compared(sums, uses):
    assert not hours(NodeWatch(), sums, uses).judged


@pytest.mark.parametrize("start", [NOW + 1200, NOW + 3000])
def test_an_hour_seen_from_its_middle_on_is_left_out(start):
    watch = NodeWatch()
    watch.look(NODES, foretold(), use(), start)
    watch.look(NODES, foretold(), use(), NOW + HOUR)
    assert not watch.judge.judged
    watch.look(NODES, foretold(), use(), NOW + 5 * HOUR)  # and so is a gap
    assert not watch.judge.judged


def test_the_hindcast_of_rows_is_taken_in():
    watch = NodeWatch()
    watch.hindcast(no_loads())
    assert not watch.judge.judged
    watch.hindcast(replace(no_loads(), error=1.0, reference=4.0))
    assert watch.judge.trusted
    watch.hindcast(replace(no_loads(), error=9.0, reference=4.0))
    assert not watch.judge.trusted


class Kept:
    """A memory of one document."""

    def __init__(self, document=None):
        self.document, self.read = document, 0

    def note_judge(self, document):
        self.document = document

    async def judge(self):
        self.read += 1
        return self.document


async def test_what_a_leader_has_learned_outlives_it():
    memory = Kept()
    leader = NodeWatch(memory=memory, leads=lambda: True)
    await leader.recall(NOW)
    hours(leader, foretold(), use((1080.0, 280.0)), number=24)
    assert leader.judge.inflation > 2.0
    after = NodeWatch(memory=memory, leads=lambda: True)
    await after.recall(NOW + 24 * HOUR)
    assert after.judge.inflation == pytest.approx(leader.judge.inflation)
    assert (after.judge.trusted, after.judge.judged) == (leader.judge.trusted, True)
    late = NodeWatch(memory=memory, leads=lambda: True)
    await late.recall(NOW + 48 * HOUR)  # a day later half of it is left
    assert late.judge.count == pytest.approx(leader.judge.count / 2)


async def test_a_replica_reads_when_it_starts_and_when_it_begins_to_lead_and_writes_only_then():
    memory, leading = Kept(), [False]
    stands_by = NodeWatch(memory=memory, leads=lambda: leading[0])
    for at in range(3):
        await stands_by.recall(NOW + 60 * at)
    hours(stands_by, foretold(), use())
    assert (memory.read, memory.document) == (1, None)
    memory.document = hours(NodeWatch(), foretold(), use((1080.0, 280.0)), number=24).kept(NOW + 24 * HOUR)
    leading[0] = True
    for at in range(3):
        await stands_by.recall(NOW + 24 * HOUR + 60 * at)
    assert memory.read == 2
    assert stands_by.judge.inflation > 2.0
    leading[0] = False
    await stands_by.recall(NOW + 25 * HOUR)
    assert memory.read == 2


async def test_less_than_is_known_already_and_what_is_none_change_nothing():
    little = hours(NodeWatch(), foretold(), use()).kept(NOW)
    for document in (
        little,
        {},
        little | {"count": float("nan")},
        little | {"error": "x"},
        little | {"judged": 3},
    ):
        watch = NodeWatch(memory=Kept(document), leads=lambda: True)
        judge = hours(watch, foretold(), use((1080.0, 280.0)), number=24)
        await watch.recall(NOW + 24 * HOUR)
        assert watch.judge is judge
