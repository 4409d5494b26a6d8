"""Plays controllers and kubelet on a real API server that has neither, so that what waits for pods ends.

In: an API server; the images that nodes have. Out: for each Deployment and DaemonSet one pod, created from
its template through the API server's own admission (Pod Security included), Ready only if all its images are
on the nodes, and the status that their controllers would write; pods without an owner (`helm test`) succeed;
pods of a workload that is gone go, and a namespace that is deleted is emptied and finalized. Nothing runs in
such a pod: what a pod would say is asked in tests/contract/test_chart.py and tests/e2e.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from builders.apiserver import USERS, ApiServer
from builders.manifests import KUBE_NODE, kube_node, running
from plimsoll.api.v1alpha1 import API_VERSION, KINDS

Object = dict[str, Any]
LOOK_SECONDS = 0.1
MERGE = {"Content-Type": "application/merge-patch+json"}
OWNER = "plimsoll-test/owner"
STATUS = {
    "deployments": ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"),
    "daemonsets": (
        *("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled"),
        *("numberReady", "numberAvailable"),
    ),
}
READINESS = {"readyReplicas", "availableReplicas", "numberReady", "numberAvailable"}


@dataclass
class PlayedNodes:
    """One look does what is to be done; `problems` says why a pod is not Ready, as events would."""

    http: httpx.Client
    has_image: Callable[[str], bool]
    asks_password: Callable[[str], bool] = lambda _registry: False
    problems: dict[str, str] = field(default_factory=dict)
    failed: list[BaseException] = field(default_factory=list)

    def check(self) -> None:
        """Forget the problems of before; raise what has ended the play."""
        self.problems.clear()
        if self.failed:
            raise self.failed[0]

    def look(self) -> None:
        """Bring status to what spec says, once."""
        # As the garbage collector does in a real cluster. The API server opens a kind's storage at the first
        # question; when that is the deletion of its CRD, the deletion may be tried again only minutes later.
        for kind in KINDS:
            self.http.get(f"/apis/{API_VERSION}/{kind.plural}", params={"limit": 1})
        pods = {
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": pod for pod in self._items("pods")
        }
        wanted = {
            self._workload(plural, each, pods) for plural in STATUS for each in self._items(plural, "apps/v1")
        }
        for key, pod in pods.items():
            if OWNER not in pod["metadata"].get("annotations", {}):
                self._succeed(key, pod)
            elif key not in wanted:
                self._delete(pod)
        for namespace in self._items("namespaces"):
            if "deletionTimestamp" in namespace["metadata"]:
                self._finalize(namespace["metadata"]["name"])

    def _workload(self, plural: str, workload: Object, pods: dict[str, Object]) -> str:
        """Its one pod, its status; returns the pod's key, which has the workload's generation in it."""
        about = workload["metadata"]
        name = f"{about['name']}-{about['generation']}"
        key = f"{about['namespace']}/{name}"
        pod = pods.get(key) or self._start(about, workload["spec"]["template"], name)
        ready = pod is not None and self._run(key, pod)
        count = workload["spec"].get("replicas", 1)
        status = {each: count if ready or each not in READINESS else 0 for each in STATUS[plural]}
        if plural == "daemonsets":
            status["numberMisscheduled"] = 0
        status["observedGeneration"] = about["generation"]
        if any(workload.get("status", {}).get(each, 0) != value for each, value in status.items()):
            path = f"/apis/apps/v1/namespaces/{about['namespace']}/{plural}/{about['name']}/status"
            self.http.patch(path, json={"status": status}, headers=MERGE)
        return key

    def _start(self, about: Object, template: Object, name: str) -> Object | None:
        metadata = {
            "name": name,
            "labels": template["metadata"]["labels"],
            "annotations": {OWNER: about["name"]},
        }
        spec = {**template["spec"], "nodeName": KUBE_NODE}
        answer = self.http.post(
            f"/api/v1/namespaces/{about['namespace']}/pods", json={"metadata": metadata, "spec": spec}
        )
        if answer.is_success:
            made: Object = answer.json()
            return made
        self.problems[f"{about['namespace']}/{name}"] = answer.text
        return None

    def _pulled(self, key: str, pod: Object) -> bool:
        """Whether the node has the pod's images, or may pull them; `problems` says which it lacks."""
        spec = pod["spec"]
        images = {each["image"] for each in (*spec["containers"], *spec.get("initContainers", ()))}
        if lacking := {each for each in images if not self.has_image(each)}:
            self.problems[key] = f"no such image on the node: {', '.join(sorted(lacking))}"
            return False
        private = {each.partition("/")[0] for each in images if self.asks_password(each.partition("/")[0])}
        if unknown := private - self._passwords(pod):
            self.problems[key] = f"pull access denied, no password for {', '.join(sorted(unknown))}"
            return False
        return True

    def _passwords(self, pod: Object) -> set[str]:
        """Registries that the pull Secrets of a pod have a password for."""
        known: set[str] = set()
        for each in pod["spec"].get("imagePullSecrets", ()):
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/secrets/{each['name']}"
            config = self.http.get(path).json().get("data", {}).get(".dockerconfigjson", "")
            known |= set(json.loads(base64.b64decode(config) or "{}").get("auths", {}))
        return known

    def _run(self, key: str, pod: Object) -> bool:
        if not self._pulled(key, pod):
            return False
        if pod.get("status", {}).get("phase") != "Running":
            self._status(pod, running(pod))
        self.problems.pop(key, None)
        return True

    def _succeed(self, key: str, pod: Object) -> None:
        if pod.get("status", {}).get("phase") != "Succeeded" and self._pulled(key, pod):
            self._status(pod, {"status": {"phase": "Succeeded"}})

    def _status(self, pod: Object, status: Object) -> None:
        about = pod["metadata"]
        path = f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}/status"
        self.http.patch(path, json=status, headers=MERGE)

    def _delete(self, pod: Object) -> None:
        about = pod["metadata"]
        path = f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}"
        self.http.delete(path, params={"gracePeriodSeconds": 0})

    def _finalize(self, name: str) -> None:
        """Empty a namespace of everything that can be deleted, then let it go."""
        for root in ("api/v1", *self._groups()):
            for resource in self.http.get(f"/{root}").json().get("resources", ()):
                verbs = resource.get("verbs", ())
                if resource["namespaced"] and "deletecollection" in verbs and "/" not in resource["name"]:
                    self.http.delete(
                        f"/{root}/namespaces/{name}/{resource['name']}", params={"gracePeriodSeconds": 0}
                    )
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {}}
        self.http.put(f"/api/v1/namespaces/{name}/finalize", json=body)

    def _groups(self) -> Iterator[str]:
        for group in self.http.get("/apis").json()["groups"]:
            yield f"apis/{group['preferredVersion']['groupVersion']}"

    def _items(self, plural: str, group: str = "") -> list[Object]:
        items: list[Object] = self.http.get(
            f"/apis/{group}/{plural}" if group else f"/api/v1/{plural}"
        ).json()["items"]
        return items


@contextmanager
def played_nodes(
    api: ApiServer, has_image: Callable[[str], bool], asks_password: Callable[[str], bool]
) -> Iterator[PlayedNodes]:
    """Look again and again, in a thread, until the block ends; an error of that thread is raised there."""
    ended = threading.Event()
    headers = {"Authorization": f"Bearer {USERS['admin'][0]}"}
    with httpx.Client(base_url=api.url, headers=headers, verify=api.ssl_context(), timeout=30) as http:
        http.post("/api/v1/nodes", json=kube_node()).raise_for_status()
        nodes = PlayedNodes(http, has_image, asks_password)

        def play() -> None:
            try:
                while not ended.wait(LOOK_SECONDS):
                    nodes.look()
            except BaseException as error:  # noqa: BLE001  raised by check()
                nodes.failed.append(error)

        thread = threading.Thread(target=play)
        thread.start()
        try:
            yield nodes
        finally:
            ended.set()
            thread.join()
        nodes.check()
