"""What a container says in a division over the node: its importance, whether it is a job, what comes back of
it.
"""

import pytest

from builders.twin_node import MIB, TwinNode
from plimsoll.api.effective import Importance
from plimsoll.pages.control_budget import PRIOR_RETURN_RATIO
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_share import NodeRoom, share_out
from plimsoll.pages.control_types import ReclaimPolicy
from plimsoll_nodeagent.control.controlled import Controlled


def controlled(root, workload, importance=Importance.NORMAL):
    container = TwinNode(root).container()
    return Controlled(container, ReclaimLaw(ReclaimPolicy(importance=importance)), workload)


@pytest.mark.parametrize(
    ("workload", "batch"),
    [
        ("shop/CronJob/report/app", True),
        ("shop/Job/import-*/app", True),
        ("shop/Deployment/Job/app", False),
        ("Job/Deployment/web/app", False),
        ("/sys/fs/cgroup/system.slice/Job/x", False),
        ("", False),
    ],
)
def test_a_job_is_known_by_its_workload(tmp_path, workload, batch):
    assert controlled(tmp_path, workload).is_batch is batch


def test_what_came_back_is_what_is_expected_back(tmp_path):
    keeps, returns = (controlled(tmp_path / name, "shop/Deployment/web/app") for name in ("a", "b"))
    assert keeps.claim(MIB, 0).return_ratio == PRIOR_RETURN_RATIO
    for each, back in ((keeps, 0), (returns, 40 * MIB)):
        each.law.budget.took(64 * MIB)
        each.law.budget.enter(600.0, 1000 * MIB, back)
    assert keeps.claim(MIB, 0).return_ratio < returns.claim(MIB, 0).return_ratio
    room = NodeRoom(swap_total_bytes=1000 * MIB, swap_free_bytes=1000 * MIB, most_bytes=60 * MIB)
    assert share_out([each.claim(50 * MIB, 0) for each in (returns, keeps)], room) == [10 * MIB, 50 * MIB]


def test_the_job_gives_first(tmp_path):
    service, job = (controlled(tmp_path / name, f"shop/{name}/x/app") for name in ("Deployment", "CronJob"))
    room = NodeRoom(swap_total_bytes=1000 * MIB, swap_free_bytes=1000 * MIB, most_bytes=60 * MIB)
    assert share_out([each.claim(50 * MIB, 0) for each in (service, job)], room) == [10 * MIB, 50 * MIB]
