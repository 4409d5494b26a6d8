"""A Kubernetes API in memory behind the operator's narrow `KubeApi`, for tests of what the operator makes of
answers.

In: objects as dicts, failures to inject. Out: the protocol's semantics as its docstrings give them (uid
preconditions, optimistic replace, strategic merge by container name, merge of status), with one rising
resourceVersion; the contract suite proves the same on the real adapter. `world()` reads it all back through
the operator's own parser.
"""

import copy
from collections import defaultdict

from plimsoll_operator import parse
from plimsoll_operator.actuate.api import PODS, PROFILES, ApiError, resize_body
from plimsoll_operator.place.gate import lifted
from plimsoll_operator.world import world

PLURALS = {
    "pods": parse.pod,
    "replicasets": parse.owned,
    "jobs": parse.owned,
    "cronjobs": parse.cron_job,
    "namespaces": parse.namespace,
    "limitranges": parse.limit_range,
    "resourcequotas": parse.quota,
    "horizontalpodautoscalers": parse.hpa,
    "nodes": parse.kube_node,
    "memorypolicies": parse.policy,
    "clustermemorypolicies": parse.policy,
    "memoryprofiles": parse.profile,
    "nodememories": parse.node_memory,
}


class MemoryApi:
    """Objects by (plural, namespace, name); `fail` lets the next calls of a method fail."""

    def __init__(self):
        self.objects = {}
        self.calls = []
        self.resizes = []
        self.evicted = []
        self.paths = {}
        self.server_version = "v1.37.1"
        self._version = 100
        self._indexed = {}  # what `world` returned last
        self._failures = defaultdict(list)

    # -- for tests ---------------------------------------------------------------------------------------

    def put(self, plural, body):
        """Store an object as the API server would: with a uid and a new resourceVersion."""
        body = copy.deepcopy(body)
        meta = body["metadata"]
        meta.setdefault("uid", f"uid-{plural}-{meta.get('namespace', '')}-{meta['name']}")
        key = (plural, meta.get("namespace", ""), meta["name"])
        self.objects[key] = self._stamped(body)
        return self.objects[key]

    def get(self, plural, namespace, name):
        """The stored object."""
        return self.objects[plural, namespace, name]

    def fail(self, method, error, times=1):
        """Let the next `times` calls of a method (`read`, or `read pods`) raise `error`."""
        self._failures[method] += [error] * times

    def world(self, paused=False):
        """What the indices would hold now: of an object that did not change, the very same record."""
        kept, known, self._indexed = defaultdict(list), self._indexed, {}
        for key, body in self.objects.items():
            if (plural := key[0]) not in PLURALS:
                continue
            before, record = known.get(key, (None, None))
            if before != body:
                record = PLURALS[plural](copy.deepcopy(body))
            self._indexed[key] = (copy.deepcopy(body), record)
            if record is not None:
                kept[plural].append(record)
        return world(
            pods=kept["pods"],
            owners=[*kept["replicasets"], *kept["jobs"]],
            namespaces=kept["namespaces"],
            limit_ranges=kept["limitranges"],
            quotas=kept["resourcequotas"],
            hpas=kept["horizontalpodautoscalers"],
            kube_nodes=kept["nodes"],
            node_memories=kept["nodememories"],
            policies=[*kept["memorypolicies"], *kept["clustermemorypolicies"]],
            profiles=kept["memoryprofiles"],
            cron_jobs=kept["cronjobs"],
            paused=paused,
        )

    # -- KubeApi -----------------------------------------------------------------------------------------

    async def version(self):
        self._called("version")
        return self.server_version

    async def read(self, resource, namespace, name):
        self._called("read", resource.plural, name)
        return copy.deepcopy(self._existing(resource.plural, namespace, name))

    async def read_path(self, path):
        self._called("read_path", path)
        if path not in self.paths:
            raise ApiError(404, "NotFound", path)
        return self.paths[path]

    async def count(self, resource):
        self._called("count", resource.plural)
        return sum(plural == resource.plural for plural, _, _ in self.objects)

    async def page(self, resource, limit, token=""):
        self._called("page", resource.plural)
        keys = sorted(key for key in self.objects if key[0] == resource.plural)
        start = int(token or 0)
        following = str(start + limit) if start + limit < len(keys) else ""
        return [copy.deepcopy(self.objects[key]) for key in keys[start : start + limit]], following

    async def create(self, resource, namespace, body):
        self._called("create", resource.plural)
        body = copy.deepcopy(body)
        meta = body["metadata"]
        meta.setdefault("name", f"{meta.get('generateName', '')}{self._version}")
        if (resource.plural, namespace, meta["name"]) in self.objects:
            raise ApiError(409, "AlreadyExists", meta["name"])
        meta["namespace"] = namespace
        return copy.deepcopy(self.put(resource.plural, body))

    async def replace(self, resource, namespace, name, body):
        self._called("replace", resource.plural, name)
        old = self._existing(resource.plural, namespace, name)
        if body["metadata"].get("resourceVersion") not in (None, old["metadata"]["resourceVersion"]):
            raise ApiError(409, "Conflict", name)
        return copy.deepcopy(self.put(resource.plural, body))

    async def patch_status(self, resource, namespace, name, body):
        self._called("patch_status", resource.plural, name)
        old = self._existing(resource.plural, namespace, name)
        self._same_uid(old, body)
        old["status"] = _merged(old.get("status") or {}, body.get("status") or {})
        return copy.deepcopy(self._stamped(old))

    async def delete(self, resource, namespace, name, uid):
        self._called("delete", resource.plural, name)
        self._same_uid(self._existing(resource.plural, namespace, name), {"metadata": {"uid": uid}})
        del self.objects[resource.plural, namespace, name]

    async def resize(self, pod, values):
        self._called("resize", "pods", pod.name)
        body = resize_body(pod, values)
        old = self._existing(PODS.plural, pod.namespace, pod.name)
        self._same_uid(old, body)
        for place, containers in body["spec"].items():
            by_name = {each["name"]: each for each in old["spec"].get(place, ())}
            for each in containers:
                if each["name"] not in by_name:
                    raise ApiError(422, "Invalid", f"{place} has no {each['name']}")
                spec = by_name[each["name"]].setdefault("resources", {})
                for kind, amounts in each["resources"].items():
                    spec.setdefault(kind, {}).update(amounts)
        self.resizes.append((pod.name, dict(values)))
        return copy.deepcopy(self._stamped(old))

    async def evict(self, pod, *, dry_run=False):
        self._called("evict_dry_run" if dry_run else "evict", "pods", pod.name)
        self._same_uid(self._existing("pods", pod.namespace, pod.name), {"metadata": {"uid": pod.uid}})
        if dry_run:
            return
        self.evicted.append(pod.name)
        del self.objects["pods", pod.namespace, pod.name]

    async def lift_gate(self, pod):
        self._called("lift_gate", "pods", pod.name)
        old = self._existing("pods", pod.namespace, pod.name)
        body = lifted(pod.uid)
        self._same_uid(old, body)
        gone = {each["name"] for each in body["spec"]["schedulingGates"]}
        gates = old["spec"].get("schedulingGates", ())
        old["spec"]["schedulingGates"] = [each for each in gates if each["name"] not in gone]
        return copy.deepcopy(self._stamped(old))

    async def close(self):
        self._called("close")

    # -- parts -------------------------------------------------------------------------------------------

    def _called(self, method, *details):
        self.calls.append((method, *details))
        for name in (method, f"{method} {details[0] if details else ''}"):
            if self._failures[name]:
                raise self._failures[name].pop(0)

    def _existing(self, plural, namespace, name):
        found = self.objects.get((plural, namespace, name))
        if found is None:
            raise ApiError(404, "NotFound", f"{plural} {namespace}/{name}")
        return found

    def _same_uid(self, old, body):
        uid = (body.get("metadata") or {}).get("uid")
        if uid is not None and uid != old["metadata"]["uid"]:
            raise ApiError(409, "Conflict", f"uid {uid} is not {old['metadata']['uid']}")

    def _stamped(self, body):
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        return body

    def settle(self):
        """The kubelet's part, at once: what the spec says is in force."""
        for (plural, _, _), body in self.objects.items():
            if plural != "pods":
                continue
            by_name = {each["name"]: each for each in body["spec"]["containers"]}
            for status in body["status"].get("containerStatuses", ()):
                status["resources"] = copy.deepcopy(by_name[status["name"]].get("resources", {}))
            self._stamped(body)

    def profile(self, name, namespace="shop"):
        """Status of a profile."""
        return self.objects[PROFILES.plural, namespace, name].get("status", {})


def _merged(old, new):
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged
