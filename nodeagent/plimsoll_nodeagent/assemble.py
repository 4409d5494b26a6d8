"""Put a running agent together from its flags.

In: an `argparse` namespace. Out: an `Agent` with its parts, its local door and what must be closed at the
end. Nothing is started here and nothing is written, except that what an agent that was killed had set is
taken back.
"""

import argparse
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plimsoll.pages.cold import POLICY_NAMES
from plimsoll.pages.survival import SurvivalModel
from plimsoll.pressure.registry import NAMES as PREDICTOR_NAMES
from plimsoll_nodeagent.act.actor import Actor
from plimsoll_nodeagent.act.journal import Journal, Record
from plimsoll_nodeagent.agent import Agent
from plimsoll_nodeagent.capabilities import Engine, Level
from plimsoll_nodeagent.control.by_address import AddressLooks
from plimsoll_nodeagent.control.cluster_policies import ClusterPolicies
from plimsoll_nodeagent.control.collapsing import Collapser
from plimsoll_nodeagent.control.controlled import tables_by_class
from plimsoll_nodeagent.control.forecasting import PressureForecasts
from plimsoll_nodeagent.control.idle_ages import IdleAgeSampler
from plimsoll_nodeagent.control.idle_looks import IdleLooks
from plimsoll_nodeagent.control.kubeapi import KubeApi
from plimsoll_nodeagent.control.models import Learnt, Models, ModelStore, by_class
from plimsoll_nodeagent.control.node_memory import NodeMemoryWriter
from plimsoll_nodeagent.control.numa_places import NumaPlaces
from plimsoll_nodeagent.control.policies import FilePolicies, NoPolicies, PolicySource
from plimsoll_nodeagent.control.pressing import Pressing
from plimsoll_nodeagent.control.reclaiming import Reclaimer
from plimsoll_nodeagent.control.reports import pressure_dict
from plimsoll_nodeagent.control.tiering import Tierer
from plimsoll_nodeagent.control.told_policies import ToldPolicies
from plimsoll_nodeagent.control.written_looks import WrittenLooks
from plimsoll_nodeagent.discover.named import NamedTracker
from plimsoll_nodeagent.kernelfs import KernelFs, Mode
from plimsoll_nodeagent.loop import Watch
from plimsoll_nodeagent.sample.probe import find_capabilities
from plimsoll_nodeagent.sample.triggers import PressureTriggers, Threshold
from plimsoll_nodeagent.serve.local import Calls

logger = logging.getLogger(__name__)

SAVE_SECONDS = 600.0


@dataclass
class Assembled:
    """An agent and what goes with it."""

    agent: Agent
    store: ModelStore | None
    models: Models
    now_saved_seconds: float = 0.0

    def calls(self) -> Calls:
        """What may be asked through the local door."""
        return {"report": self._report, "set-policy": self._set_policy, "models": self._models}

    def save_models(self, now_seconds: float, *, at_once: bool = False) -> None:
        """Keep what was learnt, every ten minutes and at the end; a full disk costs the agent only that."""
        recently = 0.0 <= now_seconds - self.now_saved_seconds < SAVE_SECONDS
        if self.store is None or (recently and not at_once):
            return
        self.now_saved_seconds = now_seconds
        learnt = self.learnt()
        if not any(each.observations for each in learnt.survival.values()) and not learnt.reuse:
            return
        try:
            self.models = self.store.save(learnt, now_seconds)
            self.agent.reclaimer.models = self.models
        except OSError as error:
            logger.warning("models could not be kept", extra={"why": str(error)})

    def learnt(self) -> Learnt:
        """What there is to keep: of classes that have no container now, what was known before."""
        reclaimer, before = self.agent.reclaimer, self.models
        survival = {name: SurvivalModel(prior=table) for name, table in before.tables.items()}
        return Learnt(
            survival | by_class(reclaimer.survival_by_class()),
            {**before.reuse, **tables_by_class(reclaimer.controlled.values())},
            reclaimer.bandit.as_plain(),
            self.agent.pressing.forecasts.learned(),
        )

    def _report(self, asked: Mapping[str, Any]) -> Mapping[str, object]:  # noqa: ARG002
        report = self.agent.latest
        if report is None:
            raise ValueError("the agent has not looked yet")
        return {
            "page_policy": report.page_policy,
            "models_version": self.models.version,
            "pressure": pressure_dict(self.agent.pressing),
            "policy_problem": report.policy_problem,
            "capabilities": report.capabilities.as_dict(),
            "containers": [each.as_dict() for each in report.containers],
            "stage_seconds": report.stage_seconds,
            "latest": [each.as_dict() for each in report.latest],
        }

    def _set_policy(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        name, forecasts = str(asked.get("name", "")), self.agent.pressing.forecasts
        if name in PREDICTOR_NAMES:
            before = forecasts.wanted
            forecasts.set_predictor(name)
            return {"what": "pressure predictor", "before": before, "now": name}
        before = self.agent.reclaimer.page_policy_name or "by policy"
        self.agent.reclaimer.set_page_policy("" if name == "by-policy" else name)
        return {"what": "page policy", "before": before, "now": name}

    def _models(self, asked: Mapping[str, Any]) -> Mapping[str, object]:  # noqa: ARG002
        learnt = by_class(self.agent.reclaimer.survival_by_class())
        return {
            "version": self.models.version,
            "checksum": self.models.checksum,
            "reuse_classes": sorted(self.models.reuse),
            "bandit_classes": sorted(self.agent.reclaimer.bandit.records),
            "pressure_scopes": sorted(self.models.pressure),
            "page_policies": list(POLICY_NAMES),
            "pressure_predictors": list(PREDICTOR_NAMES),
            "classes": {
                name: {
                    "observations": each.observations,
                    "loss": None if each.loss != each.loss else each.loss,
                    "hazard": each.hazard.tolist(),
                }
                for name, each in learnt.items()
            },
        }


def assemble(options: argparse.Namespace, fs: KernelFs | None = None) -> Assembled:
    """Put it together. Raises OSError where the state directory cannot be used, ValueError for flags."""
    mode = Mode(options.mode)
    fs = fs or KernelFs(options.root, mode)
    watch = Watch(fs, options.cgroup_root, options.most_containers, tracker=tracker_of(fs, options))
    kept = options.state_dir / "journal"
    journal = Journal(kept) if mode is Mode.ACT else NoJournal(kept)
    actor = Actor(fs, journal, time.monotonic)
    if mode is Mode.ACT:
        actor.recover()
    store = ModelStore(options.state_dir / "models")
    models = store.load()
    policies = policy_source(options)
    capabilities = find_capabilities(fs, options.cgroup_root)
    reclaimer = Reclaimer(fs, policies, actor, capabilities, models)
    reclaimer.set_page_policy(options.page_policy)
    triggers = None
    if mode is Mode.ACT and capabilities.level(Engine.PRESSURE) is Level.TRIGGERS:
        triggers = PressureTriggers(fs, Threshold())
    ages = IdleAgeSampler(fs, options.cgroup_root)
    forecasts = PressureForecasts(models.pressure)
    forecasts.set_predictor(options.pressure_predictor)
    pressing = Pressing(fs, forecasts, reclaimer, watch.look_at)
    bits = (
        IdleLooks(fs, cost_ratio=options.looks_cpu)
        if capabilities.has(Engine.ACCESSES, Level.IDLE_BITS)
        else None
    )
    looks = AddressLooks(fs, actor.damon, bits, cost_ratio=options.looks_cpu)
    places = NumaPlaces(fs, actor, reclaimer.brake)
    writes = WrittenLooks(fs) if capabilities.has(Engine.ACCESSES, Level.SOFT_DIRTY) else None
    collapser = Collapser(fs, actor, capabilities, reclaimer.brake)
    agent = Agent(
        fs,
        watch,
        policies,
        ages,
        looks,
        pressing,
        reclaimer,
        actor,
        places,
        collapser,
        Tierer(fs, actor, capabilities, reclaimer.brake),
        triggers,
        writes,
    )
    if options.policies_from_cluster or options.policies_from_operator:
        agent.sink = NodeMemoryWriter(
            KubeApi.of_this_pod,
            options.kube_node,
            mode,
            version("plimsoll"),
            topology=options.node_resource_topology,
        )
    return Assembled(agent, store if mode is Mode.ACT else None, models)


def tracker_of(fs: KernelFs, options: argparse.Namespace) -> NamedTracker | None:
    """The cgroups that were named; None: those of a kubelet. Raises ValueError for a path with `..`."""
    return NamedTracker(fs, options.cgroup_root, options.cgroup) if options.cgroup else None


def policy_source(options: argparse.Namespace) -> PolicySource:
    """Where policies come from. Raises ValueError for flags that exclude each other or lack one."""
    named = {
        "--policy-file": options.policy_file is not None,
        "--policies-from-cluster": options.policies_from_cluster,
        "--policies-from-operator": options.policies_from_operator,
    }
    given = [flag for flag, there in named.items() if there]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other")
    if options.policy_file is not None:
        return FilePolicies(options.policy_file)
    if options.policies_from_cluster:
        if not options.kube_node:
            raise ValueError("--policies-from-cluster needs --kube-node")
        return ClusterPolicies(KubeApi.of_this_pod, options.kube_node, options.own_namespaces)
    if options.policies_from_operator:
        if not options.operator_address:
            raise ValueError("--policies-from-operator needs --operator-address")
        return ToldPolicies()
    return NoPolicies()


class NoJournal(Journal):
    """Of an agent that sets nothing: it holds no record, takes none, and makes no directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, record: Record) -> None:
        """Refuse: then nothing may be set."""
        raise OSError(f"an agent that only watches sets nothing ({record.kind})")

    def names(self) -> list[str]:
        """None."""
        return []
