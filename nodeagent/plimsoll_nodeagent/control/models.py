"""What the agent has learned, on disk by version: written whole, read with a checksum, never trusted blindly.

In: by workload class, hazards of return (`pages.survival`, int8), reuse tables (`pages.reuse_model`, int8),
the bandit's records, and what pressure scopes have learned. Out: `Models`, from which a new container of a
known class starts. A file that is torn, foreign or altered is passed over for the version before it; where
none is left, all starts from what is built in: the prior hazard, LRU, the careful arm, the shipped network.
A single table that makes no sense is left out alone. A file is JSON: `{"format": 3, "version": 3,
"made_seconds": ..., "loss": {...}, "tables": {class: [int8 x 14]}, "reuse": {class: base64}, "bandit": {...},
"pressure": {scope: [...]}, "sha256": ...}`. Formats 1 and 2 hold hazards that had learned reclaim as returns:
such a file is not used, and the next version is written beside it.
"""

import base64
import hashlib
import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plimsoll.pages.control_bandit import SafeBandit
from plimsoll.pages.reuse_model import ModelError, export_model, import_model
from plimsoll.pages.reuse_predictor import ReusePredictor
from plimsoll.pages.survival import FloatArray, SurvivalModel, dequantised, prior_hazard, quantised
from plimsoll.pressure.bank import LEARNED

logger = logging.getLogger(__name__)

FORMAT = 3
KEPT_VERSIONS = 3
MOST_CLASSES = 2048
MOST_REUSE_CLASSES = 64  # 17 KB each
MOST_BYTES = 8 << 20
_PREFIX = "pages-"


@dataclass(frozen=True, slots=True)
class Models:
    """One version; version 0 is the built-in prior."""

    version: int = 0
    made_seconds: float = 0.0
    tables: Mapping[str, FloatArray] = field(default_factory=dict)
    loss: Mapping[str, float] = field(default_factory=dict)
    checksum: str = ""
    reuse: Mapping[str, ReusePredictor] = field(default_factory=dict)
    records: Mapping[str, object] = field(default_factory=dict)
    """The bandit's, as plain numbers."""
    pressure: Mapping[str, FloatArray] = field(default_factory=dict)

    def tables_of(self, workload_class: str) -> ReusePredictor | None:
        """A reuse predictor of its own for a container of this class; None: it starts out as LRU."""
        found = self.reuse.get(workload_class)
        return None if found is None else ReusePredictor(found.tables.copy(), found.samples)

    def bandit(self) -> SafeBandit:
        """The bandit as it was."""
        return SafeBandit.from_plain(self.records)

    def prior(self, workload_class: str) -> FloatArray:
        """The hazard that a container of this class starts from."""
        found = self.tables.get(workload_class)
        return prior_hazard() if found is None else found


@dataclass(frozen=True, slots=True)
class Learnt:
    """What is to be kept."""

    survival: Mapping[str, SurvivalModel]
    reuse: Mapping[str, ReusePredictor] = field(default_factory=dict)
    records: Mapping[str, object] = field(default_factory=dict)
    pressure: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was passed over, and why."""

    name: str
    why: str


class OlderFormatError(ValueError):
    """A file of before this format, whole but not to be used."""


# What reading a file of any content can end in; deep nesting is a RecursionError.
UNSOUND = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


class ModelStore:
    """A directory of versions."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.refused: list[Refused] = []

    def load(self) -> Models:
        """The newest version that can be trusted."""
        self.refused = []
        for path in self._paths():
            try:
                return read(path)
            except OlderFormatError as error:  # so are those before it
                self.refused.append(Refused(path.name, str(error)))
                logger.warning("models start afresh", extra={"file": path.name, "why": str(error)})
                break
            except UNSOUND as error:
                self.refused.append(Refused(path.name, str(error)))
                logger.warning("a model file is passed over", extra={"file": path.name, "why": str(error)})
        return Models()

    def save(self, learnt: Learnt, now_seconds: float) -> Models:
        """Write the next version; the oldest beyond three go. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        paths = self._paths()
        version = 1 + (int(paths[0].stem.removeprefix(_PREFIX)) if paths else 0)
        path = self._directory / f"{_PREFIX}{version:06d}.json"
        payload = _payload(learnt, version, now_seconds)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            file.write(json.dumps(payload | {"sha256": checksum(payload)}))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        for old in self._paths()[KEPT_VERSIONS:]:
            old.unlink(missing_ok=True)
        return read(path)

    def versions(self) -> list[tuple[str, Models | None, str]]:
        """Every file, newest first: its name, what it holds or None, and why it is refused."""
        found: list[tuple[str, Models | None, str]] = []
        for path in self._paths():
            try:
                found.append((path.name, read(path), ""))
            except UNSOUND as error:
                found.append((path.name, None, str(error)))
        return found

    def _paths(self) -> list[Path]:
        named = self._directory.glob(f"{_PREFIX}*.json")
        return sorted((each for each in named if each.stem.removeprefix(_PREFIX).isdecimal()), reverse=True)


def read(path: Path) -> Models:
    """Read one file. Raises one of `UNSOUND` for one that cannot be trusted."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES} bytes")
    document = json.loads(path.read_text("utf-8"))
    promised = document.pop("sha256")
    if document["format"] in range(1, FORMAT):
        raise OlderFormatError(f"of format {document['format']}, which learned reclaim as returns")
    if document["format"] != FORMAT:
        raise ValueError(f"of format {document['format']!r}, not {FORMAT}")
    if checksum(document) != promised:
        raise ValueError("the checksum does not hold")
    tables = {}
    for name, table in document["tables"].items():
        values = np.array(table)
        if values.dtype.kind != "i" or values.min(initial=0) < -128 or values.max(initial=0) > 127:
            raise ValueError(f"the table of {name!r} is not of int8")
        tables[name] = dequantised(values.astype(np.int8))
    return Models(
        int(document["version"]),
        float(document["made_seconds"]),
        tables,
        document["loss"],
        promised,
        _reuse(document.get("reuse", {})),
        dict(document.get("bandit", {})),
        _pressure(document.get("pressure", {})),
    )


def _payload(learnt: Learnt, version: int, now_seconds: float) -> dict[str, Any]:
    chosen = dict(sorted(learnt.survival.items(), key=lambda each: -each[1].observations)[:MOST_CLASSES])
    reuse = dict(sorted(learnt.reuse.items(), key=lambda each: -each[1].samples)[:MOST_REUSE_CLASSES])
    return {
        "format": FORMAT,
        "version": version,
        "made_seconds": now_seconds,
        "loss": {name: each.loss for name, each in chosen.items() if math.isfinite(each.loss)},
        "tables": {name: quantised(each.hazard).tolist() for name, each in chosen.items()},
        "reuse": {name: base64.b64encode(export_model(each)).decode() for name, each in reuse.items()},
        "bandit": dict(list(learnt.records.items())[:MOST_CLASSES]),
        "pressure": {name: each.tolist() for name, each in list(learnt.pressure.items())[:MOST_CLASSES]},
    }


def _reuse(plain: Mapping[str, str]) -> dict[str, ReusePredictor]:
    found = {}
    for name, text in plain.items():
        try:
            found[name] = import_model(base64.b64decode(text, validate=True))
        except (ModelError, ValueError) as error:
            logger.warning("a reuse table is left out", extra={"class": name, "why": str(error)})
    return found


def _pressure(plain: Mapping[str, Any]) -> dict[str, FloatArray]:
    rows = {name: np.array(each, dtype=np.float64) for name, each in plain.items()}
    return {name: each for name, each in rows.items() if each.shape == (LEARNED,) and np.isfinite(each).all()}


def checksum(payload: Mapping[str, object]) -> str:
    """SHA-256 of what a file says, however it is spaced."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def by_class(models: Mapping[str, list[SurvivalModel]]) -> dict[str, SurvivalModel]:
    """Add up the containers of each class."""
    joined = {}
    for name, each in models.items():
        whole = SurvivalModel(prior=each[0].prior)
        whole.returned_bytes = np.sum([one.returned_bytes for one in each], axis=0)
        whole.idle_byte_seconds = np.sum([one.idle_byte_seconds for one in each], axis=0)
        whole.observations = sum(one.observations for one in each)
        known = [one.loss for one in each if math.isfinite(one.loss)]
        whole.loss = float(np.mean(known)) if known else math.nan
        joined[name] = whole
    return joined
