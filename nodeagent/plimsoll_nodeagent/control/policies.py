"""Which policy speaks for which container: asked of one source, whatever it is.

In: a file (stand-alone), the API server (`cluster_policies`) or the operator (`told_policies`). Out: a
`ReclaimPolicy` for a container;
`OFF` for whatever no policy speaks for. A source that fails keeps nothing alive: what cannot be read is no
policy, and without a policy nothing is reclaimed.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from plimsoll.api.effective import Importance
from plimsoll.api.policy import Placement
from plimsoll.api.reclaim import Reclaim
from plimsoll.pages.control_types import OFF, ReclaimPolicy
from plimsoll_nodeagent.discover.tracker import Container

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is known of one container."""

    policy: ReclaimPolicy
    workload: str
    shared_class: str = ""


class PolicySource(Protocol):
    """Says what policies ask for."""

    def refresh(self, now_seconds: float) -> None:
        """Look again, if it is time; never raises."""

    def policy_of(self, container: Container) -> ReclaimPolicy:
        """The policy of a container."""

    def class_of(self, container: Container) -> str:
        """What containers share experience with: the workload, or "" where it is not known."""

    def shared_class_of(self, container: Container) -> str:
        """What they share with containers on other kube nodes: the image; "" where it is not known."""

    @property
    def problem(self) -> str:
        """Why policies cannot be read now; empty where they can."""


class NoPolicies:
    """An agent that only watches."""

    problem = "this agent was started without policies (--policy-file, --policies-from-cluster, ...)"

    def refresh(self, now_seconds: float) -> None:
        """There is nothing to look at."""

    def policy_of(self, container: Container) -> ReclaimPolicy:  # noqa: ARG002
        """Off."""
        return OFF

    def class_of(self, container: Container) -> str:  # noqa: ARG002
        """Nothing is known."""
        return ""

    def shared_class_of(self, container: Container) -> str:  # noqa: ARG002
        """Nothing is known."""
        return ""


class FilePolicies:
    """One policy for every watched container, from a JSON file that may change: for hosts without Kubernetes.

    The file is a ClusterMemoryPolicy, or its `spec` alone:
    `{"importance": "Low", "reclaim": {"mode": "Cold"}}`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._policy = OFF
        self.problem = "not read yet"

    def refresh(self, now_seconds: float) -> None:  # noqa: ARG002
        """Read the file where it has changed."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                self._policy = read_policy_file(self._path)
                self._stamp, self.problem = stamp, ""
        except (OSError, ValueError) as error:
            if self.problem in {"", "not read yet"}:
                logger.warning(
                    "the policy file cannot be read: nothing is reclaimed", extra={"why": str(error)}
                )
            self._policy, self._stamp, self.problem = OFF, None, f"{self._path}: {error}"

    def policy_of(self, container: Container) -> ReclaimPolicy:  # noqa: ARG002
        """The file's, for every container."""
        return self._policy

    def class_of(self, container: Container) -> str:
        """Containers of a path share experience: a host's services keep theirs."""
        return container.path

    def shared_class_of(self, container: Container) -> str:  # noqa: ARG002
        """A host's services have no image."""
        return ""


def read_policy_file(path: Path) -> ReclaimPolicy:
    """Read a policy file. Raises OSError and ValueError, whose text says what is wrong."""
    document: Any = json.loads(path.read_text("utf-8"))
    if not isinstance(document, Mapping):
        raise ValueError("is not a JSON object")  # noqa: TRY004 -- what a person wrote
    spec = document.get("spec", document)
    if not isinstance(spec, Mapping):
        raise ValueError("spec is not a JSON object")  # noqa: TRY004 -- what a person wrote
    unknown = set(spec) - {"reclaim", "importance", "mode", "placement"} if spec is document else set()
    if unknown:
        raise ValueError(f"unknown field {min(unknown)!r}; there are reclaim, importance and placement")
    try:
        reclaim = Reclaim.model_validate(spec.get("reclaim", {}))
        placement = Placement.model_validate(spec.get("placement", {}))
        importance = Importance(spec.get("importance", "Normal"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        part = error.title.lower()
        raise ValueError(f"{part}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return ReclaimPolicy.of(reclaim, importance, str(path), placement.numa)
