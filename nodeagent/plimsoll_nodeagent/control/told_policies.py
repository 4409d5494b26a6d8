"""Policies as the operator tells them by its stream: the agent asks the API server for nothing.

In: snapshots, each of which replaces the one before. Out: what they say of a container; `OFF` before the
first. While the operator is away its last word holds, however old: bounds go on as they are. An agent that is
started then has heard no word, and leaves everything alone.
"""

from collections.abc import Mapping

from plimsoll.coordinate.messages import PolicySnapshot
from plimsoll.pages.control_types import OFF, ReclaimPolicy
from plimsoll_nodeagent.control.policies import Spoken
from plimsoll_nodeagent.discover.tracker import Container

NOT_TOLD = "the operator has not said yet what policies there are"


class ToldPolicies:
    """The policies of one node's containers."""

    def __init__(self) -> None:
        self._by_container: Mapping[str, Spoken] = {}
        self.version = 0  # of what was told last: Unix milliseconds of the operator's clock
        self.problem = NOT_TOLD

    def hear(self, snapshot: PolicySnapshot) -> None:
        """Take over what the operator says."""
        self._by_container = {
            each.container_id: Spoken(each.policy, each.workload, each.shared_class)
            for each in snapshot.policies
        }
        self.version, self.problem = snapshot.version, ""

    def refresh(self, now_seconds: float) -> None:
        """There is nothing to ask."""

    def policy_of(self, container: Container) -> ReclaimPolicy:
        """The policy of a container; OFF for one that the operator has not named."""
        spoken = self._by_container.get(container.container_id)
        return OFF if spoken is None else spoken.policy

    def class_of(self, container: Container) -> str:
        """Its workload and container name."""
        spoken = self._by_container.get(container.container_id)
        return "" if spoken is None else spoken.workload

    def shared_class_of(self, container: Container) -> str:
        """Its image and container name."""
        spoken = self._by_container.get(container.container_id)
        return "" if spoken is None else spoken.shared_class
