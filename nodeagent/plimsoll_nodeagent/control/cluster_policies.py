"""Policies as the cluster holds them, for the containers of this node.

In: the API server, every half minute: both kinds of policy, the namespaces, and the pods of this node. Out:
what the policy that speaks for a container says about reclaim. The choice is the core's own
(`PolicySet.resolve`), so that agent and operator never disagree. A pod's workload is read from its owner; a
ReplicaSet's name without its template hash is its Deployment's, a Job's without its schedule its CronJob's.
It is level-based: each look replaces all that was known, in one step. A look is a thread's work: the API
server may take its time, and the loop that calls `refresh` looks at pressure and ends leases meanwhile. What
could not be read for `STALE_SECONDS` counts as no policy.
"""

import logging
import re
import threading
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from plimsoll.api.precedence import EffectivePolicy, PolicySet, read_policy
from plimsoll.api.v1alpha1 import API_VERSION
from plimsoll.pages.control_types import OFF, ReclaimPolicy
from plimsoll.workload import WorkloadRef, shared_class
from plimsoll_nodeagent.control.kubeapi import KubeApi
from plimsoll_nodeagent.control.policies import Spoken
from plimsoll_nodeagent.discover.tracker import Container

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 30.0
STALE_SECONDS = 300.0
_CRON = re.compile(r"(.+)-[0-9]{6,}")
_HASH = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class _Known:
    by_container: Mapping[str, Spoken]
    read_seconds: float = float("-inf")


_NOTHING = _Known({})


class ClusterPolicies:
    """The policies of one node's containers. `connect` makes a client; it is closed after each look."""

    def __init__(
        self,
        connect: Callable[[], KubeApi],
        kube_node: str,
        own_namespaces: Collection[str],
        *,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self._connect = connect
        self._kube_node = kube_node
        self._own_namespaces = own_namespaces
        self._refresh_seconds = refresh_seconds
        self._looked_seconds = float("-inf")
        self._known = _NOTHING
        self._busy, self._swap = threading.Lock(), threading.Lock()
        self.problem = "not read yet"

    def refresh(self, now_seconds: float) -> None:
        """Begin to look again, if it is time and no look is under way; forget what is too old."""
        with self._swap:
            self._known = known = _aged(self._known, now_seconds)
        if known is _NOTHING and not self.problem:
            self.problem = f"policies could not be read for {STALE_SECONDS:.0f} s"
        if 0.0 <= now_seconds - self._looked_seconds < self._refresh_seconds:
            return
        if not self._busy.acquire(blocking=False):
            return
        self._looked_seconds = now_seconds
        try:
            threading.Thread(target=self._look, args=(now_seconds,), name="policies", daemon=True).start()
        except RuntimeError as error:  # no thread is to be had
            self._failed(error)
            self._busy.release()

    def wait(self) -> None:
        """Wait until no look is under way."""
        with self._busy:
            pass

    def policy_of(self, container: Container) -> ReclaimPolicy:
        """The policy of a container; OFF for one that the cluster does not know."""
        spoken = self._known.by_container.get(container.container_id)
        return OFF if spoken is None else spoken.policy

    def class_of(self, container: Container) -> str:
        """Its workload and container name."""
        spoken = self._known.by_container.get(container.container_id)
        return "" if spoken is None else spoken.workload

    def shared_class_of(self, container: Container) -> str:
        """Its image and container name."""
        spoken = self._known.by_container.get(container.container_id)
        return "" if spoken is None else spoken.shared_class

    def _look(self, now_seconds: float) -> None:
        try:
            with self._connect() as api:
                known = _Known(self._read(api), now_seconds)
            with self._swap:
                self._known, self.problem = known, ""
        except Exception as error:  # noqa: BLE001 -- whatever an answer is made of: what was read before is kept
            self._failed(error)
        finally:
            self._busy.release()

    def _failed(self, error: Exception) -> None:
        logger.warning("policies could not be read", extra={"why": str(error)})
        self.problem = f"policies could not be read: {error}"

    def _read(self, api: KubeApi) -> dict[str, Spoken]:
        group = f"/apis/{API_VERSION}"
        bodies = [
            {"kind": kind, **body}
            for kind, plural in (
                ("MemoryPolicy", "memorypolicies"),
                ("ClusterMemoryPolicy", "clustermemorypolicies"),
            )
            for body in _items(api, f"{group}/{plural}")
        ]
        policies = PolicySet(filter(None, map(read_policy, bodies)), self._own_namespaces)
        labels = {
            each["metadata"]["name"]: each["metadata"].get("labels") or {}
            for each in _items(api, "/api/v1/namespaces")
        }
        selector = urllib.parse.quote(f"spec.nodeName={self._kube_node}")
        found: dict[str, Spoken] = {}
        for pod in _items(api, f"/api/v1/pods?fieldSelector={selector}"):
            found |= _of_pod(pod, policies, labels)
        return found


def _aged(known: _Known, now_seconds: float) -> _Known:
    """What still counts; where the clock was set back, its age is counted from now on."""
    age_seconds = now_seconds - known.read_seconds
    if age_seconds < 0.0:
        return _Known(known.by_container, now_seconds)
    return known if age_seconds <= STALE_SECONDS else _NOTHING


def _items(api: KubeApi, path: str) -> list[dict[str, Any]]:
    """All of a kind, from the API server's cache."""
    version = "&resourceVersion=0" if "?" in path else "?resourceVersion=0"
    return [dict(each) for each in api.get(path + version)["items"]]


def _of_pod(pod: Mapping[str, Any], policies: PolicySet, namespaces: Mapping[str, Any]) -> dict[str, Spoken]:
    metadata = pod["metadata"]
    workload = workload_of(metadata)
    labels = metadata.get("labels") or {}
    policy = policies.resolve(workload, labels, namespaces.get(workload.namespace, {}))
    if not isinstance(policy, EffectivePolicy):
        return {}
    status = pod.get("status") or {}
    spec = pod.get("spec") or {}
    named = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    images = {each["name"]: str(each.get("image") or "") for each in named}
    running = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return {
        each["containerID"].rpartition("//")[2]: Spoken(
            ReclaimPolicy.under(policy, each["name"]),
            f"{workload}/{each['name']}",
            shared_class(images.get(each["name"], ""), each["name"]),
        )
        for each in running
        if each.get("containerID")
    }


def workload_of(metadata: Mapping[str, Any]) -> WorkloadRef:
    """The workload that a pod is of, by its controlling owner; a pod without one is its own."""
    namespace = str(metadata["namespace"])
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            kind, name = str(owner["kind"]), str(owner["name"])
            template = (metadata.get("labels") or {}).get(_HASH)
            if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
                return WorkloadRef(namespace, "Deployment", name.removesuffix(f"-{template}"))
            if kind == "Job" and (scheduled := _CRON.fullmatch(name)):
                return WorkloadRef(namespace, "CronJob", scheduled[1])
            return WorkloadRef(namespace, kind, name)
    return WorkloadRef(namespace, "Pod", str(metadata["name"]))
