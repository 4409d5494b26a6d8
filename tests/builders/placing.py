"""An operator that places pods: kube nodes, what their pods will use by the hour, and the webhook's answer.

In: MiB by hour of the day for each workload's container. Out: a `Rig` whose engine speaks of loads, reviews
answered through the real admission code, patches applied. Not replaced: membership, loop, placer, admission.
"""

import base64
import copy
import json
from dataclasses import replace

import numpy as np

from builders.clusters import MIB, raw_kube_node, raw_pod, raw_policy
from builders.kubeapi import MemoryApi
from builders.loops import Rig, SpokenEngine
from plimsoll.api.profile import NodeMemoryStatus
from plimsoll_operator import parse
from plimsoll_operator.admission import PodAdmission
from plimsoll_operator.engine.messages import NodeUse, RowLoads
from plimsoll_operator.initial import InitialResources
from plimsoll_operator.parse.pods import PLACEMENT_ANNOTATION
from plimsoll_operator.place.answering import PlacementAnswer

SPREAD_MIB = 10.0  # deviation of every hourly maximum


class ForetellingEngine(SpokenEngine):
    """Says of each workload what it will use: MiB, one number or 24 by hour of the day."""

    def __init__(self, day_mib, used_mib=200.0):
        super().__init__({}, used_mib)
        self.day_mib = dict(day_mib)
        self.begins = {}  # bits of hours by workload
        self.stays_hours = {}  # by workload that has always ended after so long
        self.hindcast = (1.0, 2.0)  # squared errors of the forecast and of requests, told once
        self.common_share = 0.0  # of the variance of every row
        self.silent = set()  # kube nodes whose containers give no sample
        self.asked = []  # for each tick whether loads were

    async def tick(self, now_seconds, *, loads=False):
        tick = await super().tick(now_seconds)
        self.asked.append(loads)
        return replace(tick, loads=self._loads(), node_use=self._use()) if loads else tick

    def _loads(self):
        of_row = {each.row: each.key.workload.name for each in self.members.values()}
        of_row = {row: name for row, name in of_row.items() if name in self.day_mib}
        days = [np.broadcast_to(self.day_mib[name], 24) * MIB for name in of_row.values()]
        n, spread = len(of_row), SPREAD_MIB * MIB
        error, reference = self.hindcast
        self.hindcast = (0.0, 0.0)
        return RowLoads(
            np.array(list(of_row), dtype=np.int32),
            np.array(days, dtype=np.float32).reshape(n, 24),
            np.full(n, spread**2),
            np.full(n, spread**3),
            np.full(n, self.common_share * spread**2),
            np.array([self.begins.get(name, 0) for name in of_row.values()], dtype=np.int32),
            np.array([self.stays_hours.get(name, 0) for name in of_row.values()], dtype=np.int8),
            np.array([name in self.stays_hours for name in of_row.values()], dtype=np.bool_),
            error,
            reference,
        )

    def _use(self):
        names = sorted({each.kube_node for each in self.members.values()})
        counts = [sum(each.kube_node == name for each in self.members.values()) for name in names]
        fresh = [0 if name in self.silent else count for name, count in zip(names, counts, strict=True)]
        used = np.array(fresh, dtype=np.float64) * self.used_mib * MIB
        return NodeUse(tuple(names), used, np.array(counts, dtype=np.int32), np.array(fresh, dtype=np.int32))


def owned(workload, name, node, request="512Mi", grace=5, **fields):
    """A running pod of StatefulSet `workload`; `grace`: seconds it may take to end, None: nothing is said."""
    reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": workload, "uid": f"uid-{workload}"}
    pod = raw_pod(
        name,
        owner={**reference, "controller": True},
        labels={"app": "web", "workload": workload},
        node=node,
        request=request,
        limit="4Gi",
        **fields,
    )
    if grace is not None:
        pod["spec"]["terminationGracePeriodSeconds"] = grace
    return pod


def new_pod(workload="web", request="512Mi", labels=None, **spec):
    """A pod of StatefulSet `workload` as the webhook gets it: nothing is bound yet."""
    pod = owned(workload, f"{workload}-new", "", request)
    del pod["status"], pod["metadata"]["uid"], pod["spec"]["nodeName"]
    pod["metadata"]["labels"] |= labels or {}
    pod["spec"] |= spec
    return pod


def room_node(name, memory="4Gi", **fields):
    """A kube node with a hostname label."""
    labels = {"kubernetes.io/hostname": name, "zone": fields.pop("zone", "a")}
    node = raw_kube_node(name, memory, labels)
    node["status"]["allocatable"] |= {"cpu": fields.pop("cpu", "8"), "pods": fields.pop("pods", "110")}
    node["spec"] = fields
    return node


def placing(nodes, pods, day_mib, node="Prefer", mode="InPlace", **settings):
    """A cluster whose policy for all pods asks for placement."""
    api = MemoryApi()
    api.put("namespaces", {"metadata": {"name": "shop"}})
    for each in nodes:
        api.put("nodes", each)
    for each in pods:
        api.put("pods", each)
    api.put("memorypolicies", raw_policy(mode=mode, placement={"node": node}))
    return PlacingRig(api, ForetellingEngine(day_mib), **settings)


class PlacingRig(Rig):
    """An operator with an agent on every kube node, each of which tells at every loop what its node uses."""

    agents = True
    used_mib = 0.0  # what they say, of nodes that `used_mib_of` does not name
    silent_agents = frozenset()  # kube nodes whose agent says nothing (any more)

    def __init__(self, *given, **settings):
        super().__init__(*given, **settings)
        self.used_mib_of = {}

    async def once(self, now_seconds, leading=True):
        names = [name for plural, _, name in self.api.objects if plural == "nodes"]
        for name in names if self.agents else ():
            if name not in self.silent_agents:
                used = self.used_mib_of.get(name, self.used_mib)
                self._agent_writes(node_memory(name, used, now_seconds))
        return await super().once(now_seconds, leading)

    def _agent_writes(self, body):
        """Merged in, as agents do: what the operator has written stays."""
        before = self.api.objects.get(("nodememories", "", body["metadata"]["name"]), {})
        self.api.put("nodememories", body | {"status": before.get("status", {}) | body["status"]})


def node_memory(name, used_mib, now_seconds):
    """What an agent writes of its kube node."""
    status = NodeMemoryStatus(usage_bytes=int(used_mib * MIB), updated_time_seconds=now_seconds)
    return {"metadata": {"name": name}, "status": status.to_api()}


def initial_of(rig, now=None):
    """What the webhook of a rig asks for memory."""
    return InitialResources(
        world=lambda: rig.loop.world,
        profile=lambda *key: rig.loop._parts.keeper.profiles.newest(key, rig.loop.world.profiles.get(key)),
        membership=rig.membership,
        owners=rig.loop._parts.owners,
        asks=rig.loop._parts.asks,
        now=now or (lambda: rig.now_seconds),
        control=lambda: rig.loop.control,
        remembered_seconds=1.0,
    )


class Body:
    """As much of a request as the webhook reads."""

    def __init__(self, document):
        self._text = json.dumps(document)

    async def read(self):
        return self._text.encode()


async def reviewed(rig, pod, uid="11112222-3333-4444-5555-666677778888", namespace="shop", **request):
    """The pod as the API server stores it after the webhook of `rig` has answered."""
    initial = initial_of(rig)
    admission = PodAdmission(initial, place=PlacementAnswer(rig.placer, initial))
    asked = {"uid": uid, "operation": "CREATE", "namespace": namespace, "object": pod} | request
    answer = await admission.handle(Body({"request": asked}))
    response = json.loads(answer.body)["response"]
    assert response["allowed"] is True
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    return patched(pod, patch)


def patched(document, patch):
    """The document after `add` operations of a JSON patch (RFC 6902)."""
    document = copy.deepcopy(document)
    for operation in patch:
        assert operation["op"] == "add"
        *path, last = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        ]
        at = document
        for part in path:
            at = at[int(part)] if isinstance(at, list) else at[part]
        at[last] = operation["value"]
    return document


def preferred(pod):
    """Kube nodes that a pod prefers by name, in the order of its terms."""
    nodes = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "preferredDuringSchedulingIgnoredDuringExecution"
    ) or []
    fields = [line for each in nodes for line in each["preference"].get("matchFields", ())]
    return [name for line in fields for name in line["values"]]


def placed(pod):
    """The annotation as the operator reads it back."""
    return parse.pod(pod).placed


def told(pod):
    """The sentence of the annotation, "" without one."""
    return (pod["metadata"].get("annotations") or {}).get(PLACEMENT_ANNOTATION, "")
