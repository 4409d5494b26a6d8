"""What the fleet has learned of the images that run here: asked for, started from, held against what ships.

In: the images' classes of the containers, `ModelVersion`s that the operator sent, what was learned here,
losses of live outcomes. Out: vectors to start from, `ModelDelta`s to say: at once of a class that is new,
then every ten minutes (`say_seconds`), every minute while two models are on trial. What was learned is said
whole, judgements are numbered, so any of it may be lost or heard twice. Without an operator there is nothing
here, and all starts from what is local or ships.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from plimsoll.coordinate.messages import ModelDelta, ModelVersion
from plimsoll.pages.survival import FloatArray
from plimsoll.store.content import ContentError
from plimsoll.store.contributions import Contribution
from plimsoll.store.letters import SCHEMA, Delta, Given, checksum_of, delta_payload, read_given
from plimsoll.store.shared_kinds import KINDS_SHARED
from plimsoll.store.trying import Loss, Tried

logger = logging.getLogger(__name__)

SAY_SECONDS, SAY_ON_TRIAL_SECONDS = 600.0, 60.0
MOST_CLASSES = 64  # of one node; those that come later share nothing until others are gone
MOST_AT_ONCE = 12  # messages of one look: 192 wait two minutes

Model = tuple[str, str]  # kind, class
Learned = Mapping[Model, tuple[FloatArray, int]]
"""By model what was learned here, and from how many samples."""


@dataclass
class FleetModels:
    """All shared models of one node."""

    say_seconds: float = SAY_SECONDS
    counts: Counter[str] = field(default_factory=Counter)
    """What came of models: given, withdrawn, unreadable, refused (worse here than what ships)."""
    _models: dict[Model, Tried] = field(default_factory=dict)
    _said_seconds: dict[Model, float] = field(default_factory=dict)
    _changed: set[Model] = field(default_factory=set)

    def keep(self, classes: Collection[str]) -> None:
        """These classes have containers here; what is known of others is forgotten."""
        known = {key for _, key in self._models}
        there = known & set(classes)
        new = sorted(set(classes) - known - {""})[: MOST_CLASSES - len(there)]
        if there != known:
            self._models = {model: each for model, each in self._models.items() if model[1] in there}
            self._said_seconds = {
                model: each for model, each in self._said_seconds.items() if model[1] in there
            }
        for kind, shared in KINDS_SHARED.items():
            self._models |= {(kind, key): Tried(shared.ships()) for key in new}

    def vector(self, kind: str, key: str) -> FloatArray | None:
        """What a container of a class starts from by the fleet's word; None where it has none."""
        tried = self._models.get((kind, key))
        return None if tried is None else tried.in_use

    def wants(self, kind: str, key: str) -> bool:
        """Whether outcomes of this model tell anything now."""
        tried = self._models.get((kind, key))
        return tried is not None and tried.wanted

    def judge(self, kind: str, key: str, loss: Loss) -> None:
        """An outcome of a container of a class: what a vector would have lost on it."""
        tried = self._models.get((kind, key))
        if tried is None or not tried.judge(loss):
            return
        self.counts["refused"] += 1
        self._changed.add((kind, key))
        logger.warning(
            "a shared model is worse here than what ships: not used", extra={"kind": kind, "class": key}
        )

    def hear(self, version: ModelVersion) -> None:
        """The operator has sent a model; one that makes no sense changes nothing."""
        model = version.kind, version.class_name
        tried = self._models.get(model)
        if tried is None:
            return  # its last container has gone
        try:
            given = _given(version)
        except ContentError as error:
            self.counts["unreadable"] += 1
            logger.warning("a shared model is passed over", extra={"kind": model[0], "why": str(error)})
            return
        self.counts["withdrawn" if given is None else "given"] += 1
        if tried.take(given, version.checksum):
            self._changed.add(model)

    def take_changed(self, kind: str) -> set[str]:
        """Classes of which another model of this kind is used since the last call."""
        changed = {model for model in self._changed if model[0] == kind}
        self._changed -= changed
        return {key for _, key in changed}

    def due(self, now_seconds: float) -> list[Model]:
        """Models to speak of now, those first that were never spoken of."""
        found = [model for model in self._models if self._is_due(model, now_seconds)]
        found.sort(key=lambda model: self._said_seconds.get(model, float("-inf")))
        return found[:MOST_AT_ONCE]

    def say(self, due: Collection[Model], learned: Learned, now_seconds: float) -> Iterator[ModelDelta]:
        """What to say of these models."""
        for model in due:
            yield self._delta(model, learned.get(model), now_seconds)

    def said(self, delta: ModelDelta, now_seconds: float) -> None:
        """The stream has taken it: the next one is due later, and is of what comes from now on."""
        model = delta.kind, delta.class_name
        self._said_seconds[model] = now_seconds
        self._models[model].told()

    def _is_due(self, model: Model, now_seconds: float) -> bool:
        said = self._said_seconds.get(model)
        every = SAY_ON_TRIAL_SECONDS if self._models[model].on_trial else self.say_seconds
        return said is None or not 0.0 <= now_seconds - said < min(every, self.say_seconds)

    def _delta(self, model: Model, learned: tuple[FloatArray, int] | None, now_seconds: float) -> ModelDelta:
        (kind, key), tried = model, self._models[model]
        contribution = None
        if learned is not None and learned[1] >= KINDS_SHARED[kind].least_samples:
            vector, samples = learned
            if not KINDS_SHARED[kind].refusal(vector):
                # A number that grows over restarts too, and says nothing else.
                contribution = Contribution(int(now_seconds * 1000.0), samples, now_seconds, vector)
        delta = Delta(contribution, tried.to_tell(now_seconds))
        payload = b"" if delta == Delta() else delta_payload(delta)
        observations = 0 if contribution is None else contribution.samples
        return ModelDelta(checksum_of(payload), kind, key, SCHEMA, tried.checksum, observations, payload)


def _given(version: ModelVersion) -> Given | None:
    """What a message holds; None: use what ships. Raises `ContentError`."""
    if version.schema_version != SCHEMA:
        raise ContentError(f"of schema {version.schema_version}, and {SCHEMA} is known")
    if checksum_of(version.payload) != version.checksum:
        raise ContentError("the checksum does not hold")
    return read_given(version.kind, version.payload) if version.payload else None
