"""Accounts of containers that are left alone: kept while they are there, for a day, and so many."""

import shutil

import pytest

from builders.twin_node import TwinNode
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ReclaimPolicy
from plimsoll_nodeagent.control import laid_by
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.laid_by import KEPT_SECONDS, LaidBy

NOW = 1_700_000_000.0
MINUTE = 60.0


class Node:
    """Containers of a twin, all of which were reclaimed from in the tick before."""

    def __init__(self, directory, containers=1):
        self.twin = TwinNode(directory, containers=containers)
        law = ReclaimPolicy(ReclaimMode.COLD)
        self.each = [Controlled(each, ReclaimLaw(law)) for each in self.twin.discovered()]
        self.kept, self.now = LaidBy(self.twin.kernel), NOW

    def tick(self, before=(), now=(), seconds=10.0, read=True):
        self.now += seconds
        keys = frozenset(each.container.key for each in self.each) if read else frozenset()
        told = ({each.container.key: each for each in some} for some in (before, now))
        self.kept.step(*told, keys, self.now)

    def accounts(self):
        return [self.kept.of(each.container) for each in self.each]


def test_an_account_is_as_it_was_until_its_container_is_reclaimed_from_again(tmp_path):
    node = Node(tmp_path, containers=2)
    node.tick(before=node.each, now=node.each[1:])
    first, second = node.accounts()
    assert (first.law, first.refault_set) == (node.each[0].law, node.each[0].refault_set)
    assert second is None
    node.tick(before=node.each[1:], now=node.each)
    assert len(node.kept) == 0


def test_a_container_that_is_gone_takes_its_account_with_it_and_one_that_cannot_be_read_does_not(tmp_path):
    node = Node(tmp_path)
    node.tick(before=node.each)
    node.tick(read=False)
    assert len(node.kept) == 1
    shutil.rmtree(node.twin.root / node.each[0].container.path.strip("/"))
    node.tick(read=False)
    assert len(node.kept) == 0


def test_it_is_kept_for_a_day_by_a_clock_that_never_leaps(tmp_path):
    node = Node(tmp_path)
    node.tick(before=node.each)
    for leap in (400 * 86_400.0, -500 * 86_400.0):
        node.tick(seconds=leap)
    minutes = 0
    while len(node.kept):
        node.tick(seconds=MINUTE)
        minutes += 1
        assert minutes * MINUTE <= KEPT_SECONDS
    assert minutes * MINUTE > KEPT_SECONDS - 2 * MINUTE


@pytest.mark.parametrize("most", [0, 2])
def test_of_too_many_those_go_that_were_laid_by_first(tmp_path, monkeypatch, most):
    monkeypatch.setattr(laid_by, "MOST_KEPT", most)
    node = Node(tmp_path, containers=3)
    for each in node.each:
        node.tick(before=[each])
    assert [account is not None for account in node.accounts()] == [False, most == 2, most == 2]
