"""Page models on disk, by version: written whole, read with a checksum, never trusted when in doubt.

In: hazards of return by workload class (`plimsoll.pages.survival`), as int8 tables. Out: `Models`, from which
a new container of a known class starts. A file that is torn, foreign or altered is passed over for the
version before it; where none is left, containers start from the built-in prior, and the page policy `lru`
needs none. A file is JSON: `{"version": 3, "made_seconds": ..., "loss": {...}, "tables": {class: [int8 x
14]}, "sha256": ...}`.
"""

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plimsoll.pages.survival import FloatArray, SurvivalModel, dequantised, prior_hazard, quantised

logger = logging.getLogger(__name__)

FORMAT = 1
KEPT_VERSIONS = 3
MOST_CLASSES = 2048
MOST_BYTES = 4 << 20
_PREFIX = "pages-"


@dataclass(frozen=True, slots=True)
class Models:
    """One version; version 0 is the built-in prior."""

    version: int = 0
    made_seconds: float = 0.0
    tables: Mapping[str, FloatArray] = field(default_factory=dict)
    loss: Mapping[str, float] = field(default_factory=dict)
    checksum: str = ""

    def prior(self, workload_class: str) -> FloatArray:
        """The hazard that a container of this class starts from."""
        found = self.tables.get(workload_class)
        return prior_hazard() if found is None else found


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was passed over, and why."""

    name: str
    why: str


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
            except (OSError, ValueError, KeyError, TypeError) as error:
                self.refused.append(Refused(path.name, str(error)))
                logger.warning("a model file is passed over", extra={"file": path.name, "why": str(error)})
        return Models()

    def save(self, models: Mapping[str, SurvivalModel], now_seconds: float) -> Models:
        """Write the next version; the oldest beyond three go. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        paths = self._paths()
        version = 1 + (int(paths[0].stem.removeprefix(_PREFIX)) if paths else 0)
        chosen = dict(sorted(models.items(), key=lambda each: -each[1].observations)[:MOST_CLASSES])
        payload: dict[str, Any] = {
            "format": FORMAT,
            "version": version,
            "made_seconds": now_seconds,
            "loss": {name: each.loss for name, each in chosen.items() if math.isfinite(each.loss)},
            "tables": {name: quantised(each.hazard).tolist() for name, each in chosen.items()},
        }
        path = self._directory / f"{_PREFIX}{version:06d}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(payload | {"sha256": checksum(payload)}), "utf-8")
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
            except (OSError, ValueError, KeyError, TypeError) as error:
                found.append((path.name, None, str(error)))
        return found

    def _paths(self) -> list[Path]:
        named = self._directory.glob(f"{_PREFIX}*.json")
        return sorted((each for each in named if each.stem.removeprefix(_PREFIX).isdecimal()), reverse=True)


def read(path: Path) -> Models:
    """Read one file. Raises OSError, ValueError, KeyError or TypeError for one that cannot be trusted."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES} bytes")
    document = json.loads(path.read_text("utf-8"))
    promised = document.pop("sha256")
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
        int(document["version"]), float(document["made_seconds"]), tables, document["loss"], promised
    )


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
