"""In: requests, and a node's files. Out: what is taken, second by second, and what the operator is told."""

import pytest

from builders.cgroup_tree import MIB
from builders.twin_node import TwinNode
from plimsoll.coordinate.messages import ShrinkRequest, ShrinkStage
from plimsoll_nodeagent.coordinate.shrinking import OBSERVED_SECONDS, SAID_AFTER_END_SECONDS, Shrinking

PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total={0}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


class Node:
    """A twin with one container of 64 MiB, and shrinks on it."""

    def __init__(self, directory, bound=0.01, permitted=True):
        self.twin = TwinNode(directory)
        self.container = self.twin.container()
        self.actor = self.twin.actor(*([self.container] if permitted else []))
        self.bound = bound
        self.shrinking = Shrinking(self.twin.kernel, self.actor, lambda _: self.bound, self._find)
        self.stalled(0.0)
        self.now = 0.0

    def _find(self, pod_uid, container_id):
        known = (self.container.pod_uid, self.container.container_id)
        return self.container if (pod_uid, container_id) == known else None

    def stalled(self, seconds):
        self.twin.file(1, "memory.pressure").write_text(PSI.format(int(seconds * 1e6)))

    def request(self, target_mib, written=False, shrink_id=1, deadline=60.0, container_id=None):
        asked = ShrinkRequest(
            shrink_id, self.container.pod_uid, "app", 80 * MIB, target_mib * MIB, deadline, written,
            self.container.container_id if container_id is None else container_id,
        )  # fmt: skip
        self.shrinking.ask(asked, self.now)

    def seconds(self, number):
        """So many steps, a second apart; the last report."""
        reports = []
        for _ in range(number):
            self.now += 1.0
            reports = list(self.shrinking.step(self.now))
        return reports[0] if reports else None

    @property
    def usage_mib(self):
        return int(self.twin.file(1, "memory.current").read_text()) / MIB


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_memory_is_taken_by_steps_until_there_is_room(node):
    node.request(50)
    first = node.seconds(1)
    assert (first.stage, first.remaining_bytes, node.usage_mib) == (ShrinkStage.RECLAIMING, 64 * MIB, 64)
    node.seconds(1)
    assert 57 <= node.usage_mib < 60  # a tenth at a time
    last = node.seconds(8)
    assert last.stage is ShrinkStage.REACHED
    assert 45 <= node.usage_mib <= 47.5
    assert last.remaining_bytes == node.usage_mib * MIB


def test_a_request_that_is_heard_again_changes_nothing(node):
    node.request(50)
    node.seconds(3)
    node.request(50)
    assert len(node.shrinking) == 1
    assert node.seconds(8).stage is ShrinkStage.REACHED


def test_under_pressure_nothing_is_taken(node):
    node.request(50)
    node.seconds(1)
    for second in range(1, 6):
        node.stalled(second * 0.5)
        report = node.seconds(1)
    assert node.usage_mib == 64
    assert "paused: tasks stalled 50.0%" in report.reason


def test_a_container_without_policy_is_only_looked_at(node):
    node.bound = None
    node.request(50)
    report = node.seconds(1)
    assert (report.stage, node.usage_mib) == (ShrinkStage.STOPPED, 64)
    assert report.reason == "no policy lets this container be reclaimed"
    node.seconds(int(SAID_AFTER_END_SECONDS) + 1)
    assert len(node.shrinking) == 0


def test_a_policy_that_goes_away_stops_it(node):
    node.request(50)
    node.seconds(3)
    left = node.usage_mib
    node.bound = None
    assert node.seconds(3).stage is ShrinkStage.STOPPED
    assert node.usage_mib == left


def test_what_the_actor_refuses_is_not_taken_and_the_operator_hears_of_it(tmp_path):
    node = Node(tmp_path, permitted=False)
    node.request(50)
    report = node.seconds(6)
    assert (report.stage, node.usage_mib) == (ShrinkStage.STOPPED, 64)
    assert report.reason == "the kernel has nothing more to give"


def test_once_written_the_kernels_own_file_is_told(node):
    node.request(50)
    node.seconds(3)
    node.request(50, written=True)
    node.twin.file(1, "memory.max").write_text(f"{50 * MIB}\n")
    report = node.seconds(1)
    assert (report.stage, report.memory_max_bytes) == (ShrinkStage.OBSERVED, 50 * MIB)
    left = node.usage_mib
    node.twin.file(1, "memory.max").write_text("max\n")
    assert node.seconds(1).memory_max_bytes == 0
    assert node.usage_mib == left  # it only looks
    node.seconds(int(OBSERVED_SECONDS))
    assert len(node.shrinking) == 0


def test_a_cancelled_shrink_takes_nothing_more(node):
    node.request(50)
    node.seconds(2)
    left = node.usage_mib
    node.shrinking.cancel(1)
    assert node.seconds(3) is None
    assert node.usage_mib == left


def test_a_container_that_is_gone_or_another_by_now_is_not_touched(node):
    node.request(50, container_id="of the container before")
    assert len(node.shrinking) == 0
    node.request(50, shrink_id=2)
    node.twin.file(1, "memory.pressure").unlink()
    assert node.seconds(2).stage is ShrinkStage.STOPPED  # without PSI nothing is taken
    assert node.usage_mib == 64
