"""What a world tells its parent: frames for the live table, and the outcome at the end. All of it from the
API's objects and the kubelets' events, none from the operator's own word but its published profiles.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from plimsoll.api.quantity import parse_quantity
from plimsoll_cli.sandbox.api.audit import AuditEntry
from plimsoll_cli.sandbox.kubelet import EventKind, KubeletEvent
from plimsoll_cli.sandbox.ledger import Ledger
from plimsoll_cli.sandbox.scenario import NAMESPACE, Workload
from plimsoll_cli.sandbox.world import PODS, World, resources_in

JsonObject = dict[str, Any]
PROFILES = ("plimsoll.dev", "memoryprofiles")
_SHOWN_EVENTS = 6
_BAD_NEWS = frozenset(
    {EventKind.OOM_KILLED, EventKind.RESIZE_DEFERRED, EventKind.RESIZE_INFEASIBLE, EventKind.RESIZE_REFUSED}
)


class Reporter:
    """Reads a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._profiles: dict[str, tuple[int, JsonObject]] = {}  # parsed once a version
        self._scored = [workload.scored for workload in world.scenario.workloads]

    def frame(self, bins: int) -> JsonObject:
        """How things stand after so many bins."""
        world = self._world
        notable = [event for event in world.events if event.kind in _BAD_NEWS]
        return {
            "bins": bins,
            "of": world.scenario.bins,
            "now": world.clock.now(),
            "rows": [self._row(workload) for workload in world.scenario.workloads],
            "arms": [ledger.standing(self._scored) for ledger in self._ledgers()],
            "events": [_event(event) for event in notable[-_SHOWN_EVENTS:]],
        }

    def outcome(self) -> JsonObject:
        """The whole run."""
        world = self._world
        scenario = world.scenario
        kinds = {kind.value: 0 for kind in EventKind}
        for event in world.events:
            kinds[event.kind.value] += 1
        return {
            "seed": scenario.seed,
            "series": [
                {"id": w.series_id, "source": w.source, "workload": w.name, "scored": w.scored}
                for w in scenario.workloads
            ],
            "bins": scenario.bins,
            "arms": self._arms(),
            "events": [_event(event) for event in world.events],
            "event_counts": kinds,
            "resizes": [_resize(entry) for entry in world.api.audit.writes("pods", "resize")],
            "said": [_said(entry) for entry in world.api.audit.writes("events")],
            "first_limits": {w.pod: w.first.limit_bytes for w in scenario.workloads},
            "spec_limits": self._spec_limits(),
            "lost_originals": [w.name for w in scenario.workloads if self._lost_original(w)],
            "profile_writes": len(world.api.audit.writes("memoryprofiles", "status")),
            "requests": world.api.audit.requests,
            "admission": {"calls": world.api.admission.calls, "failures": world.api.admission.failures},
            "faults_injected": world.api.faults.injected,
            "stalled_bins": world.clock.stalls,
        }

    def _spec_limits(self) -> dict[str, int]:
        """What each pod's spec says now."""
        pods = (stored.load() for stored in self._world.api.store.collection(PODS).page(None, NAMESPACE))
        return {pod["metadata"]["name"]: resources_in(pod).limit_bytes for pod in pods}

    def _lost_original(self, workload: Workload) -> bool:
        """True unless the profile remembers the very limit that the person first set."""
        stored = self._world.api.store.get(PROFILES, NAMESPACE, f"deployment-{workload.name}")
        entry = _entry(stored.load()) if stored is not None else {}
        limit = (entry.get("originalResources") or {}).get("limit")
        return limit is None or parse_quantity(limit) != workload.first.limit_bytes

    def _arms(self) -> list[JsonObject]:
        return [ledger.outcome(self._scored).document() for ledger in self._ledgers()]

    def _ledgers(self) -> list[Ledger]:
        return [self._world.ledger, *(shadow.ledger for shadow in self._world.baselines)]

    def _row(self, workload: Workload) -> JsonObject:
        world = self._world
        container = world.kubelet.containers.get(workload.name)
        row: JsonObject = {
            "workload": workload.name,
            "ooms": world.ledger.ooms_of(workload.name),
            "vpa_ooms": sum(
                s.ledger.ooms_of(workload.name) for s in world.baselines if s.ledger.arm == "vpa"
            ),
            "running": container is not None,
        }
        if container is not None:
            usage = None if np.isnan(container.usage_bytes) else container.usage_bytes
            row |= {"usage": usage, "limit": container.resources.limit_bytes}
        return row | self._profile(workload)

    def _profile(self, workload: Workload) -> JsonObject:
        stored = self._world.api.store.get(PROFILES, NAMESPACE, f"deployment-{workload.name}")
        if stored is None:
            return {}
        version, shown = self._profiles.get(workload.name, (0, {}))
        if version != stored.version:
            shown = _shown(stored.load())
            self._profiles[workload.name] = stored.version, shown
        return shown


def _shown(profile: JsonObject) -> JsonObject:
    """What the live table shows of a profile."""
    entry = _entry(profile)
    decision, recommendation = entry.get("lastDecision") or {}, entry.get("recommendation") or {}
    target = recommendation.get("target")
    return {
        "target": parse_quantity(target) if target else None,
        "kind": decision.get("kind", ""),
        "reason": decision.get("reason", ""),
    }


def _entry(profile: JsonObject) -> JsonObject:
    """A profile's one container."""
    found: JsonObject = next(iter((profile.get("status") or {}).get("containers") or ()), {})
    return found


def _resize(entry: AuditEntry) -> JsonObject:
    """One accepted write to a pod's resize subresource: what it asked for, and the version it made."""
    (asked,) = entry.body["spec"]["containers"]
    amounts = asked.get("resources") or {}
    return {
        "seconds": entry.seconds,
        "pod": entry.name,
        "limit": (amounts.get("limits") or {}).get("memory"),
        "request": (amounts.get("requests") or {}).get("memory"),
        "version": int(entry.version),
    }


def _said(entry: AuditEntry) -> JsonObject:
    """One Event that the operator wrote about a pod."""
    return {
        "seconds": entry.seconds,
        "pod": entry.body["regarding"]["name"],
        "reason": entry.body["reason"],
        "note": entry.body.get("note", ""),
    }


def _event(event: KubeletEvent) -> JsonObject:
    document = asdict(event)
    usage = document["usage_bytes"]
    return document | {"kind": event.kind.value, "usage_bytes": None if np.isnan(usage) else usage}
