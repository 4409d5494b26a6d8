"""The file of a cluster's own weights: what was made of which lessons, and how it did on those held out.

In: a path, weights by quantity. Out: the same, one JSON document, written whole or not at all. A file that
cannot be read, or was made for other networks than those that ship, is passed over with a reason: the shipped
weights forecast until a refit passes the guard again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.hazard import shipped_networks
from plimsoll.forecast.own import Evidence, LastLayer, OwnWeights

VERSION = 1
MOST_BYTES = 1 << 20
MOST_NUMBER = 1e4  # no weight of a last layer is larger


class OwnFileError(RuntimeError):
    """The file is not one of ours, or not for these networks."""


def write_own(path: Path, own: Mapping[str, OwnWeights]) -> None:
    """Replace the file; raises `OSError`."""
    document = {
        "version": VERSION,
        "weights": {quantity: own_document(each) for quantity, each in sorted(own.items())},
    }
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_own(path: Path) -> dict[str, OwnWeights]:
    """Weights by quantity; none where there is no file. Raises `OwnFileError` and `OSError`."""
    if not path.is_file():
        return {}
    if path.stat().st_size > MOST_BYTES:
        raise OwnFileError(f"{path.name} has more than {MOST_BYTES} bytes")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["version"] != VERSION:
            raise OwnFileError(f"{path.name} is of version {said['version']}; this program reads {VERSION}")
        own = {str(quantity): own_of(each) for quantity, each in said["weights"].items()}
        for each in own.values():
            each.networks()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise OwnFileError(f"{path.name} cannot be used: {error}") from error
    return own


def own_document(own: OwnWeights) -> dict[str, Any]:
    """Weights as plain JSON values."""
    return {
        "networks_sha256": own.fingerprint,
        "made_seconds": own.made_seconds,
        "evidence": asdict(own.evidence),
        "layers": [
            {name: getattr(layer, name).tolist() for name in ("third", "skip", "bias")}
            for layer in own.layers
        ],
    }


def own_of(said: Mapping[str, Any]) -> OwnWeights:
    """The weights of a document; raises KeyError, TypeError or ValueError where it is none."""
    evidence = dict(said["evidence"])
    pairs = {name: tuple(float(each) for each in evidence[name]) for name in ("difference", "tail")}
    layers = tuple(
        LastLayer(
            _numbers(layer["third"], len(network.third)),
            _numbers(layer["skip"], len(network.skip)),
            _numbers(layer["bias"], 1),
        )
        for layer, network in zip(said["layers"], shipped_networks(), strict=True)
    )
    return OwnWeights(
        str(said["networks_sha256"]), layers, Evidence(**(evidence | pairs)), float(said["made_seconds"])
    )


def _numbers(said: object, length: int) -> npt.NDArray[np.float32]:
    values = np.asarray(said, dtype=np.float32)
    if values.shape != (length,) or not np.isfinite(values).all() or np.abs(values).max() > MOST_NUMBER:
        raise ValueError(f"{values.size} numbers where {length} sound ones are wanted")
    return values
