"""NodeMemory: what the agent tells the cluster of its node, once a minute and when it matters sooner.

In: reports. Out: `nodememories/<node>` with its status merged in; the object is made where there is none. The
agent's rights end there (`charts/plimsoll/templates/rbac/agent.yaml`), and an admission policy of the chart
lets it write no other node's. A call that fails is counted, logged once for its kind, and tried again at the
next turn: the loop never waits for more than one time-out. Nothing is read back: the newest tick is the
truth.
"""

import logging
import threading
from collections.abc import Callable

from plimsoll.api.fields import Condition
from plimsoll.api.profile import Capability, NodeMemoryStatus, NumaNodeMemory, ReclaimSummary
from plimsoll.api.v1alpha1 import API_VERSION
from plimsoll_nodeagent.capabilities import EngineLevel, KernelCapabilities, Level
from plimsoll_nodeagent.control import node_topology
from plimsoll_nodeagent.control.kubeapi import ApiError, KubeApi
from plimsoll_nodeagent.control.node_topology import SENTENCES, Told
from plimsoll_nodeagent.control.reports import Report
from plimsoll_nodeagent.kernelfs import Mode
from plimsoll_nodeagent.loop import Snapshot

logger = logging.getLogger(__name__)

WRITE_SECONDS = 60.0
NOT_FOUND, CONFLICT = 404, 409
SENTENCE = 1000
MOST_LIMITS = 16
OPERATORS = frozenset({"peak"})  # fields that the operator writes, and that no merge of ours may name


class NodeMemoryWriter:
    """Writes one node's object. `call` puts the report down and returns; a thread of its own writes it.

    `topology`: what it says of NUMA nodes is written as NodeResourceTopology, too.
    """

    def __init__(
        self,
        connect: Callable[[], KubeApi],
        kube_node: str,
        mode: Mode,
        version: str,
        *,
        topology: bool = False,
    ) -> None:
        self._connect, self._kube_node, self._mode, self._version = connect, kube_node, mode, version
        self._topology = topology
        self._due_seconds = float("-inf")
        self._acting: bool | None = None
        self._busy = threading.Lock()
        self.failures_total = 0
        self.written_total = 0
        self._said: set[str] = set()

    def __call__(self, report: Report, now_seconds: float) -> None:
        """Write where it is time, or where acting began or ended; skip while the last one is under way."""
        acting = is_acting(report, self._mode)
        if now_seconds < self._due_seconds <= now_seconds + WRITE_SECONDS and acting == self._acting:
            return
        if not self._busy.acquire(blocking=False):
            return
        self._due_seconds, self._acting = now_seconds + WRITE_SECONDS, acting
        status = status_of(report, self._mode, self._version)
        threading.Thread(target=self._write, args=(status,), name="node-memory", daemon=True).start()

    def wait(self) -> None:
        """Wait until nothing is under way."""
        with self._busy:
            pass

    def _write(self, status: NodeMemoryStatus) -> None:
        try:
            with self._connect() as api:
                uid = write(api, self._kube_node, status)
                self.written_total += 1
                self._write_topology(api, status, uid)
        except ApiError as error:
            self.failures_total += 1
            self._say("NodeMemory could not be written", f"{error.status}", str(error))
        finally:
            self._busy.release()

    def _write_topology(self, api: KubeApi, status: NodeMemoryStatus, uid: str) -> None:
        if not self._topology or not status.numa_nodes:
            return
        what = "NodeResourceTopology is not written"
        try:
            told = node_topology.write(api, self._kube_node, node_topology.zones_of(status.numa_nodes), uid)
        except ApiError as error:
            self.failures_total += 1
            self._say(what, f"topology {error.status}", str(error))
            return
        if told is not Told.WRITTEN:
            self._say(what, told, SENTENCES[told])

    def _say(self, what: str, kind: str, why: str) -> None:
        """Once for its kind."""
        if kind not in self._said:
            self._said.add(kind)
            logger.warning(what, extra={"why": why})


def write(api: KubeApi, kube_node: str, status: NodeMemoryStatus) -> str:
    """Merge a status in; make the object first where there is none. Out: its uid. Raises ApiError."""
    path = f"/apis/{API_VERSION}/nodememories"
    # A merge patch replaces lists whole, and keeps what it does not name: what is unknown now is set to null.
    known = status.to_api()
    unset = {name: None for name in _names() if name not in known}
    body: dict[str, object] = {"status": {**unset, **known}}
    try:
        merged = api.merge(f"{path}/{kube_node}/status", body)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        _make(api, path, kube_node)
        merged = api.merge(f"{path}/{kube_node}/status", body)
    return str((merged.get("metadata") or {}).get("uid") or "")


def _make(api: KubeApi, path: str, kube_node: str) -> None:
    made = {"apiVersion": API_VERSION, "kind": "NodeMemory", "metadata": {"name": kube_node}, "spec": {}}
    try:
        api.post(path, made)
    except ApiError as error:
        if error.status != CONFLICT:  # another has made it meanwhile
            raise


def is_acting(report: Report, mode: Mode) -> bool:
    """Whether policies are acted on here."""
    return mode is Mode.ACT and not report.capabilities.observe_only and not report.policy_problem


def status_of(report: Report, mode: Mode, version: str) -> NodeMemoryStatus:
    """The status that a report makes."""
    snapshot, node = report.snapshot, report.node
    memory, pressure = snapshot.kube_node.memory, snapshot.kube_node.pressure
    return NodeMemoryStatus(
        capacity_bytes=None if memory is None else memory.total_bytes,
        usage_bytes=None if memory is None else memory.total_bytes - memory.available_bytes,
        pressure_percent=None if pressure is None else pressure.some.avg10_ratio * 100.0,
        pressure_forecast_percent=None if node.pressure_forecast is None else node.pressure_forecast * 100.0,
        needed_bytes=node.needed_bytes,
        cold_bytes=node.cold_bytes,
        swapped_bytes=None if memory is None else memory.swap_total_bytes - memory.swap_free_bytes,
        swap_room_bytes=None if memory is None else memory.swap_free_bytes,
        containers=len(snapshot.samples),
        page_policy=report.page_policy,
        fragmentation_fraction=node.fragmentation_ratio,
        reclaim=ReclaimSummary(
            containers=node.controlled,
            asked_bytes=node.asked_total,
            taken_bytes=node.taken_total,
            returned_bytes=node.returned_total,
            paused=node.paused,
        ),
        capabilities=_capabilities(report.capabilities),
        limits=tuple(each[:SENTENCE] for each in report.capabilities.limits[:MOST_LIMITS]),
        agent_version=version,
        numa_nodes=tuple(
            NumaNodeMemory(
                id=each.numa_node,
                total_bytes=each.total_bytes,
                free_bytes=each.free_bytes,
                used_bytes=each.used_bytes,
                remote_fraction=each.remote_ratio,
                tier=each.tier,
                slow=each.slow,
                needed_bytes=each.needed_bytes,
                cold_bytes=each.cold_bytes,
            )
            for each in node.numa
        ),
        updated_time_seconds=snapshot.taken_seconds,
        conditions=(_ready(snapshot), _acting(report, mode), *_attending(report)),
    )


def _capabilities(found: KernelCapabilities) -> tuple[Capability, ...]:
    return tuple(
        Capability(
            name=each.engine.value,
            level=each.level.value,
            found=not each.why,
            message=_said(each)[:SENTENCE],
        )
        for each in found.engines
    )


def _said(each: EngineLevel) -> str:
    """What is missing above the level in use, and what would take its place."""
    beneath = ", then ".join(level.value for level in each.beneath)
    why = each.why if each.level is Level.NONE or not each.why else f"falls back: {each.why}"
    return "; ".join(part for part in (why, f"beneath it: {beneath}" if beneath else "") if part)


def _ready(snapshot: Snapshot) -> Condition:
    if snapshot.sees_pods:
        return Condition(
            type="Ready", status="True", reason="Watching", message=f"{snapshot.pods} pods are watched."
        )
    return Condition(type="Ready", status="False", reason="NoPods", message="No kubepods cgroup was found.")


def _acting(report: Report, mode: Mode) -> Condition:
    if mode is not Mode.ACT:
        return Condition(type="Acting", status="False", reason="Mode", message=f"The agent's mode is {mode}.")
    if report.capabilities.observe_only:
        why = "Without PSI or memory.reclaim nothing is reclaimed."
        return Condition(type="Acting", status="False", reason="Kernel", message=why)
    if report.policy_problem:
        return Condition(
            type="Acting", status="False", reason="Policies", message=report.policy_problem[:SENTENCE]
        )
    said = f"{report.node.controlled} containers have a policy that asks for reclaim."
    if report.models_version:
        said += f" New ones start from models of version {report.models_version}."
    return Condition(type="Acting", status="True", reason="Policies", message=said)


def _attending(report: Report) -> tuple[Condition, ...]:
    """Whether the operator hears this agent; nothing where the two are not to work together."""
    said = report.coordination
    if said is None:
        return ()
    if said.attending and (said.in_part or said.unnamed):
        parts = [f"of {said.unnamed} containers nothing, for there are too many"] if said.unnamed else []
        parts += [said.in_part] if said.in_part else []
        text = f"The operator hears this agent, but for what is too large: {'; '.join(parts)}."[:SENTENCE]
        return (Condition(type="Attending", status="True", reason="HeardInPart", message=text),)
    if said.attending:
        text = "The operator hears this agent: limits fall with its help, and bursts are lent room."
        return (Condition(type="Attending", status="True", reason="Heard", message=text),)
    text = (
        "The agent goes on within its last policies; no burst is lent room, and no limit falls with its help."
    )
    why = f"{said.why or 'not tried yet'}. {text}"[:SENTENCE]
    return (Condition(type="Attending", status="False", reason="OperatorAway", message=why),)


def _names() -> list[str]:
    named = NodeMemoryStatus.model_fields.items()
    return [field.alias or name for name, field in named if name not in OPERATORS]
