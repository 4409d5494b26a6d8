"""Where containers start from that have no past here, and what of theirs the fleet is told.

In: the fleet's models, containers under a policy. Out: prior hazards and reuse tables as the containers' own
predictors want them, losses of live outcomes, what was learned by class. A container whose workload has
learned on this node starts from that; else from the fleet's word on its image; else from what ships.
"""

from collections.abc import Callable, Collection, Iterable

import numpy as np

from plimsoll.pages.reuse_learner import Taught
from plimsoll.pages.reuse_predictor import ReusePredictor
from plimsoll.pages.survival import FloatArray, Returns, SurvivalModel, deviance, prior_hazard
from plimsoll.store.shared_kinds import (
    PAGES,
    REUSE,
    page_hazard,
    page_vector,
    reuse_predictor,
    reuse_vector,
)
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.fleet_models import FleetModels, Model


def prior_of(fleet: FleetModels, shared_class: str) -> FloatArray | None:
    """The hazards that a container of an image starts from; None: the fleet has no word on it."""
    vector = fleet.vector(PAGES, shared_class)
    return None if vector is None else page_hazard(vector)


def tables_of(fleet: FleetModels, shared_class: str) -> ReusePredictor | None:
    """The reuse tables that a container of an image starts from."""
    vector = fleet.vector(REUSE, shared_class)
    return None if vector is None else reuse_predictor(vector)


def follow(fleet: FleetModels, controlled: Iterable[Controlled]) -> None:
    """Let containers that have begun already take over what has changed; what they saw themselves stays."""
    pages, reuse = fleet.take_changed(PAGES), fleet.take_changed(REUSE)
    if not pages and not reuse:
        return
    for each in controlled:
        if each.shared_class in pages and not each.own_past:
            prior = prior_of(fleet, each.shared_class)
            each.survival.prior = prior_hazard() if prior is None else prior
        if each.shared_class in reuse and each.addresses is not None:
            each.addresses.start_from(tables_of(fleet, each.shared_class) or ReusePredictor())


def judge_pages(fleet: FleetModels, each: Controlled, seen: Returns | None) -> None:
    """Hold the fleet's hazards and reuse tables against what came."""
    if seen is not None and fleet.wants(PAGES, each.shared_class):
        fleet.judge(PAGES, each.shared_class, lambda vector: deviance(page_hazard(vector), seen))
    taught = None if each.addresses is None else each.addresses.take_taught()
    if taught is not None and fleet.wants(REUSE, each.shared_class):
        fleet.judge(REUSE, each.shared_class, squared_error(taught))


def squared_error(taught: Taught) -> Callable[[FloatArray], float]:
    """The mean squared error, in octaves, of reuse tables [CELLS + 1] on what a batch taught."""

    def loss(vector: FloatArray) -> float:
        said = vector[taught.cells].sum(axis=1) + vector[-1]
        return float(np.mean((said - taught.octaves) ** 2))

    return loss


def learned(controlled: Iterable[Controlled], due: Collection[Model]) -> dict[Model, tuple[FloatArray, int]]:
    """Of the models that are due what the containers of an image have learned here.

    Hazards are without what the fleet had told; reuse tables go on from it, and are what they are by now.
    """
    survival: dict[str, list[SurvivalModel]] = {}
    tables: dict[str, ReusePredictor] = {}
    for each in controlled:
        if not each.shared_class:
            continue
        if (PAGES, each.shared_class) in due:
            survival.setdefault(each.shared_class, []).append(each.survival)
        if each.addresses is not None and (REUSE, each.shared_class) in due:
            best, own = tables.get(each.shared_class), each.addresses.predictor
            if best is None or own.samples > best.samples:
                tables[each.shared_class] = own
    found = {(PAGES, key): _hazards(models) for key, models in survival.items()}
    return found | {(REUSE, key): (reuse_vector(each), each.samples) for key, each in tables.items()}


def _hazards(models: list[SurvivalModel]) -> tuple[FloatArray, int]:
    whole = SurvivalModel()
    whole.returned_bytes = np.sum([each.returned_bytes for each in models], axis=0)
    whole.idle_byte_seconds = np.sum([each.idle_byte_seconds for each in models], axis=0)
    return page_vector(whole.hazard), sum(each.observations for each in models)
