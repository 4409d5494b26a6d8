"""What the operator said last holds, whole, until it says otherwise; before that nothing is touched."""

from plimsoll.api.reclaim import ReclaimMode
from plimsoll.coordinate.messages import ContainerPolicy, PolicySnapshot
from plimsoll.pages.control_types import OFF, ReclaimPolicy
from plimsoll_nodeagent.control.told_policies import NOT_TOLD, ToldPolicies
from plimsoll_nodeagent.discover.names import Qos
from plimsoll_nodeagent.discover.tracker import Container

COLD = ReclaimPolicy(ReclaimMode.COLD)


def container(name: str) -> Container:
    return Container(1, name, "uid", Qos.BURSTABLE, "", "/sys/fs/cgroup/1")


def said(version: int, *names: str) -> PolicySnapshot:
    return PolicySnapshot(
        version,
        tuple(ContainerPolicy("uid", each, "app", COLD, "shop/web/app", "image app") for each in names),
    )


def test_before_the_first_word_nothing_is_touched_and_it_is_said_why():
    policies = ToldPolicies()
    policies.refresh(1e9)
    assert (policies.policy_of(container("one")), policies.problem) == (OFF, NOT_TOLD)
    assert policies.class_of(container("one")) == policies.shared_class_of(container("one")) == ""


def test_a_later_word_replaces_all_of_the_one_before():
    policies = ToldPolicies()
    policies.hear(said(1, "one", "two"))
    assert policies.policy_of(container("two")) == COLD
    assert (policies.class_of(container("one")), policies.shared_class_of(container("one"))) == (
        "shop/web/app",
        "image app",
    )
    policies.hear(said(2, "one"))
    assert (policies.policy_of(container("one")), policies.policy_of(container("two"))) == (COLD, OFF)
    assert policies.version == 2
    policies.hear(said(3))
    assert (policies.policy_of(container("one")), policies.problem) == (OFF, "")


def test_the_last_word_holds_however_old_it_is():
    policies = ToldPolicies()
    policies.hear(said(1, "one"))
    policies.refresh(1e12)
    assert (policies.policy_of(container("one")), policies.problem) == (COLD, "")
