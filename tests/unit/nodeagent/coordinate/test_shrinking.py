"""In: requests, and a node's files. Out: what is taken, second by second, and what the operator is told."""

from dataclasses import replace

import pytest

from builders.cgroup_tree import MIB
from builders.twin_node import TwinNode
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.coordinate.messages import ShrinkRequest, ShrinkStage
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import OFF, ContainerReading, ReclaimPolicy
from plimsoll_nodeagent.control.controlled import Controlled, SwapRoom
from plimsoll_nodeagent.control.policies import NoPolicies
from plimsoll_nodeagent.control.reclaiming import Reclaimer
from plimsoll_nodeagent.coordinate.shrinking import OBSERVED_SECONDS, SAID_AFTER_END_SECONDS, Shrinking
from plimsoll_nodeagent.sample.probe import find_capabilities

PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total={0}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


class Policies(NoPolicies):
    """One that lets everything be reclaimed, as long as it speaks."""

    policy = ReclaimPolicy(ReclaimMode.COLD)

    def policy_of(self, container):
        return self.policy


class Node:
    """A twin with one container of 64 MiB, and shrinks on it."""

    def __init__(self, directory, permitted=True, kernel="7.2.12", swap=None):
        self.twin = TwinNode(directory)
        self.twin.tree.write(directory / "proc/sys/kernel/osrelease", f"{kernel}\n")
        self.container = self.twin.container()
        actor = self.twin.actor(*([self.container] if permitted else []))
        for name in ("memory.reclaim", "memory.swap.max"):
            self.twin.tree.write(self.twin.tree.cgroups / "kubepods" / name, "")
        found = find_capabilities(self.twin.kernel, "/sys/fs/cgroup")
        self.policies = Policies()
        self.reclaimer = Reclaimer(self.twin.kernel, self.policies, actor, found)
        self.one = Controlled(self.container, ReclaimLaw(self.policies.policy))
        self.one.swap = swap or SwapRoom(64 * MIB)
        self.reclaimer.controlled = {self.container.key: self.one}
        self.shrinking = Shrinking(self.twin.kernel, self.reclaimer, self._find)
        self.stalled(0.0)
        self.now = 0.0

    def policy_goes(self):
        self.policies.policy, self.reclaimer.controlled = OFF, {}

    @property
    def rests(self):
        return self.container.key in self.reclaimer.shrinking

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


def test_what_is_taken_is_in_the_refault_account_and_the_law_rests_meanwhile(node):
    node.request(50)
    node.seconds(8)
    taken = 64 * MIB - int(node.usage_mib * MIB)
    assert taken > 10 * MIB
    assert (node.one.taken_bytes, node.reclaimer.taken_total) == (taken, taken)
    assert node.one.law.budget.out_bytes == taken
    assert node.rests
    node.request(50, written=True)
    node.seconds(1)
    assert not node.rests


def test_what_a_shrink_takes_is_not_judged_as_a_loan_of_the_law(node):
    sees = ContainerReading(0.0, 64 * MIB, 0.0, 0.0, 0, 32 * MIB, 64 * MIB, 64 * MIB, 32 * MIB, 0)
    node.one.law.step(sees)
    node.request(50)
    for second in range(1, 9):  # each tick the law decides on a loan, and is told to rest
        decided = node.one.law.step(replace(sees, now_seconds=float(second)))
        node.seconds(1)
    assert "on trial" in decided.sentence
    assert node.one.taken_bytes > 10 * MIB
    assert node.one.law.probe.lent_bytes == 0


def test_a_container_that_cannot_pay_for_what_came_back_is_paused(node):
    node.request(50)
    node.seconds(2)
    node.one.law.budget.balance_bytes = -2.0 * 60.0 * MIB
    node.one.law.budget.earned_per_second = 1.0 * MIB
    assert node.one.law.budget.is_deep_in_debt
    left = node.usage_mib
    report = node.seconds(5)
    assert (report.stage, node.usage_mib) == (ShrinkStage.RECLAIMING, left)
    assert report.reason == "paused: more came back than its refault budget can pay"
    node.one.law.budget.balance_bytes = 0.0
    node.seconds(1)
    assert node.usage_mib < left


@pytest.mark.parametrize(
    ("kernel", "swap", "taken"),
    [
        ("7.2.12", SwapRoom(None), True),  # it is told: file pages alone
        ("6.10.0", SwapRoom(None), False),
        ("6.10.0", SwapRoom(0), False),  # full now: a page that comes in makes room for one that goes
        ("6.10.0", SwapRoom(0, shut=True), True),  # the kernel keeps to it by itself
        ("6.10.0", SwapRoom(64 * MIB), True),
    ],
)
def test_where_file_pages_alone_may_go_no_other_goes(tmp_path, kernel, swap, taken):
    node = Node(tmp_path, kernel=kernel, swap=swap)
    node.request(50)
    report = node.seconds(3)
    assert (node.usage_mib < 64) is taken
    if not taken:
        assert report.reason.startswith("paused: Only file pages of it may go")
        assert report.stage is ShrinkStage.RECLAIMING


def test_a_cancelled_shrink_lets_the_law_go_on(node):
    node.request(50)
    node.seconds(2)
    assert node.rests
    node.shrinking.cancel(1)
    node.seconds(1)
    assert not node.rests


def test_a_container_without_policy_is_only_looked_at(node):
    node.policy_goes()
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
    node.policy_goes()
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
