import json

import pytest

from plimsoll.api.effective import Importance
from plimsoll.api.reclaim import ReclaimMode
from plimsoll_nodeagent.control.policies import FilePolicies, NoPolicies, read_policy_file
from plimsoll_nodeagent.discover.names import Qos
from plimsoll_nodeagent.discover.tracker import Container

CONTAINER = Container(1, "redis.service", "", Qos.BURSTABLE, "", "/sys/fs/cgroup/system.slice/redis.service")


def test_without_policies_nothing_is_reclaimed_and_it_says_so():
    assert NoPolicies().policy_of(CONTAINER).mode is ReclaimMode.OFF
    assert "--policy-file" in NoPolicies().problem


@pytest.mark.parametrize("whole", [False, True])
def test_a_file_is_a_policy_or_its_spec(tmp_path, whole: bool):
    spec = {"importance": "Low", "reclaim": {"mode": "Predictive", "refaultBudget": 0.02}}
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"kind": "ClusterMemoryPolicy", "spec": spec} if whole else spec))
    found = read_policy_file(path)
    assert (found.mode, found.refault_budget_ratio) == (ReclaimMode.PREDICTIVE, 0.02)
    assert found.importance is Importance.LOW


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1"),
        ("[]", "not a JSON object"),
        ('{"reclame": {}}', "unknown field 'reclame'"),
        ('{"reclaim": {"maxPressure": 900}}', "reclaim.maxPressure"),
        ('{"importance": "Huge"}', "Huge"),
    ],
)
def test_a_file_that_makes_no_sense_is_no_policy_and_says_why(tmp_path, text: str, says: str):
    path = tmp_path / "policy.json"
    path.write_text('{"reclaim": {"mode": "Cold"}}')
    policies = FilePolicies(path)
    policies.refresh(0.0)
    assert policies.policy_of(CONTAINER).mode is ReclaimMode.COLD
    path.write_text(text)
    policies.refresh(1.0)
    assert policies.policy_of(CONTAINER).mode is ReclaimMode.OFF
    assert says in policies.problem
    path.write_text('{"reclaim": {"mode": "Cold", "prefetch": true}}')
    policies.refresh(2.0)
    assert policies.policy_of(CONTAINER).prefetch
    assert policies.problem == ""
