import errno
import shutil

import pytest

from builders.cgroup_tree import MIB
from builders.twin_node import TwinNode
from plimsoll_nodeagent.act.leases import LONGEST_SECONDS
from plimsoll_nodeagent.kernelfs import Answer


def high(node: TwinNode) -> str:
    return node.file(1, "memory.high").read_text().strip()


def leased(tmp_path, high_bytes=32 * MIB, seconds=10.0):
    node = TwinNode(tmp_path)
    actor = node.actor(node.container())
    outcome = actor.lease(node.container(), high_bytes, seconds)
    return node, actor, outcome


def test_a_lease_lowers_memory_high_and_ends_by_itself(tmp_path):
    node, actor, outcome = leased(tmp_path)
    assert (outcome.answer, outcome.expected.usage_bytes) == (Answer.DONE, -32 * MIB)
    assert high(node) == str(32 * MIB)
    node.clock.seconds += 9.9
    assert actor.tick() == []
    node.clock.seconds += 0.1
    assert [each.answer for each in actor.tick()] == [Answer.DONE]
    assert high(node) == "max"
    assert node.journal().names() == []


def test_no_lease_outlasts_the_longest(tmp_path):
    node, actor, _ = leased(tmp_path, seconds=1e9)
    node.clock.seconds += LONGEST_SECONDS
    actor.tick()
    assert high(node) == "max"


def test_a_clock_that_goes_back_ends_it_rather_than_prolong_it(tmp_path):
    node, actor, _ = leased(tmp_path)
    node.clock.seconds -= 3600
    actor.tick()
    assert high(node) == "max"


def test_after_a_kill_the_next_agent_takes_it_back(tmp_path):
    node, _killed, _ = leased(tmp_path)
    assert high(node) == str(32 * MIB)
    found = node.actor().recover()
    assert list(found.values()) == [Answer.DONE]
    assert high(node) == "max"
    assert node.journal().names() == []


def test_killed_between_record_and_write_nothing_is_undone(tmp_path):
    node, _killed, _ = leased(tmp_path)
    node.file(1, "memory.high").write_text("max\n")  # as if the write had never come
    assert list(node.actor().recover().values()) == [Answer.REFUSED]
    assert high(node) == "max"


def test_what_another_wrote_meanwhile_stays(tmp_path):
    node, actor, _ = leased(tmp_path)
    node.file(1, "memory.high").write_text("50000000\n")  # MemoryQoS
    assert [each.answer for each in actor.close()] == [Answer.REFUSED]
    assert high(node) == "50000000"
    assert node.journal().names() == []


def test_a_renewed_lease_goes_back_to_what_was_before_the_first(tmp_path):
    node, actor, _ = leased(tmp_path)
    node.clock.seconds += 5
    assert actor.lease(node.container(), 16 * MIB, 10).answer is Answer.DONE
    assert high(node) == str(16 * MIB)
    node.clock.seconds += 6
    assert actor.tick() == []
    actor.close()
    assert high(node) == "max"


@pytest.mark.parametrize("stands", ["first", "second"])
def test_killed_while_renewing_whichever_stands_is_taken_back(tmp_path, stands):
    node, actor, _ = leased(tmp_path)
    actor.lease(node.container(), 16 * MIB, 10)
    node.file(1, "memory.high").write_text(f"{(32 if stands == 'first' else 16) * MIB}\n")
    node.actor().recover()
    assert high(node) == "max"


def test_a_renewal_that_fails_leaves_the_first_as_it_is(tmp_path):
    node, actor, _ = leased(tmp_path)
    node.kernel.fail("memory.high", errno.EBUSY)
    # The error comes with the write: reads of memory.high are not made while a lease is held.
    assert actor.lease(node.container(), 16 * MIB, 10).answer is Answer.BUSY
    assert high(node) == str(32 * MIB)
    node.actor().recover()
    assert high(node) == "max"


def test_it_never_raises_a_bound(tmp_path):
    node = TwinNode(tmp_path)
    node.file(1, "memory.high").write_text(f"{8 * MIB}\n")
    outcome = node.actor(node.container()).lease(node.container(), 32 * MIB, 10)
    assert outcome.answer is Answer.REFUSED
    assert high(node) == str(8 * MIB)


def test_without_a_journal_nothing_is_set(tmp_path):
    node = TwinNode(tmp_path)
    actor = node.actor(node.container())
    shutil.rmtree(tmp_path / "state")
    outcome = actor.lease(node.container(), 32 * MIB, 10)
    assert outcome.answer is Answer.REFUSED
    assert "no journal" in outcome.detail
    assert high(node) == "max"


def test_a_write_that_fails_leaves_no_record(tmp_path):
    node = TwinNode(tmp_path)
    actor = node.actor(node.container())
    node.kernel.happen_before("memory.stat", lambda: node.kernel.fail("memory.high", errno.EPERM))
    assert actor.lease(node.container(), 32 * MIB, 10).answer is Answer.DENIED
    assert node.journal().names() == []
    assert len(actor.leases) == 0


def test_with_its_cgroup_the_lease_goes_too(tmp_path):
    node, actor, _ = leased(tmp_path)
    shutil.rmtree(node.file(1, ""))
    assert [each.answer for each in actor.close()] == [Answer.GONE]
    assert node.journal().names() == []


def test_at_exit_everything_is_taken_back(tmp_path):
    node, actor, _ = leased(tmp_path)
    actor.close()
    assert high(node) == "max"


def test_who_is_no_longer_permitted_loses_the_lease(tmp_path):
    node, actor, _ = leased(tmp_path)
    actor.permit(())
    assert high(node) == "max"


def test_a_busy_kernel_at_the_end_is_asked_again(tmp_path):
    node, actor, _ = leased(tmp_path)
    node.clock.seconds += 11
    node.kernel.happen_before("memory.high", lambda: node.kernel.fail("memory.high", errno.EBUSY, times=1))
    assert [each.answer for each in actor.tick()] == [Answer.BUSY]
    assert node.journal().names() != []
    assert [each.answer for each in actor.tick()] == [Answer.DONE]
    assert high(node) == "max"


def test_what_is_taken_by_a_lease_is_what_was_asked_for_and_it_is_over_at_once(tmp_path):
    node = TwinNode(tmp_path, usage_bytes=96 * MIB)
    actor = node.actor(node.container())
    outcome = actor.take_by_lease(node.container(), 12 * MIB, 5)
    assert (outcome.answer, outcome.expected.usage_bytes) == (Answer.DONE, -12 * MIB)
    assert outcome.measured.usage_bytes == -12 * MIB
    assert outcome.measured.reclaimed_bytes == 12 * MIB
    assert high(node) == "max"
    assert node.journal().names() == []


def test_an_end_that_fails_is_tried_again_when_its_time_is_over(tmp_path):
    node = TwinNode(tmp_path)
    actor = node.actor(node.container())
    writes = []

    def before_it_is_written() -> None:
        """First what stands is read, then it is lowered, then what is to be put back is read."""
        writes.append(1)
        if len(writes) == 3:
            node.kernel.fail("memory.high", errno.EBUSY)
        else:
            node.kernel.happen_before("memory.high", before_it_is_written)

    node.kernel.happen_before("memory.high", before_it_is_written)
    assert actor.take_by_lease(node.container(), 12 * MIB, 5).answer is Answer.DONE
    assert high(node) == str(52 * MIB)
    node.clock.seconds += 5
    assert [each.answer for each in actor.tick()] == [Answer.DONE]
    assert high(node) == "max"


def test_without_its_usage_nothing_is_taken_by_a_lease(tmp_path):
    node = TwinNode(tmp_path)
    actor = node.actor(node.container())
    node.kernel.fail("memory.current", errno.EIO)
    assert actor.take_by_lease(node.container(), 12 * MIB, 5).answer is Answer.REFUSED
    assert high(node) == "max"
    assert node.actor().take_by_lease(node.container(), 12 * MIB, 5).answer is Answer.REFUSED  # no policy
