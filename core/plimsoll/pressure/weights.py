"""The networks' weights as text: written by training, read with a checksum, never trusted when in doubt.

In: JSON documents, newest first, as whoever keeps them hands them over (an agent: the learned file, the one
before it, what ships). Out: the first that is whole, of this version, has finite numbers in the right
shapes and whose checksum holds; `None` where none is, and then the plain forecasters speak. Every document
says where its numbers come from: a model of a kernel or a recording of one.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from plimsoll.pressure.features import FEATURES
from plimsoll.pressure.mlp4 import WEIGHT_COUNT
from plimsoll.pressure.network import Plain, Recurrent
from plimsoll.pressure.protocol import FloatArray

VERSION = 1
DIGITS = 6  # significant digits that are written: more than float32 has
MAX_ABSOLUTE = 1e4  # no sound weight is larger


class WeightsError(ValueError):
    """A document that is no sound set of weights; its text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Weights:
    """All networks that ship, and where they come from."""

    boosted: Plain
    gru: Recurrent
    mlp4: FloatArray  # [49]
    provenance: Mapping[str, Any]


@cache
def shipped() -> Weights | None:
    """What ships with this package; None where it was lost or damaged."""
    try:
        text = resources.files("plimsoll.pressure").joinpath("weights.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return first_sound([text])


def first_sound(documents: Iterable[str]) -> Weights | None:
    """The first document that can be trusted."""
    for text in documents:
        try:
            return parse_weights(text)
        except WeightsError:
            continue
    return None


def parse_weights(text: str) -> Weights:
    """Read one document; `WeightsError` says why it is refused."""
    try:
        document = json.loads(text)
        payload, promised = document["weights"], document["checksum"]
        if document["version"] != VERSION or document["features"] != list(FEATURES):
            raise WeightsError("pressure weights: of another version or of other features")
        if checksum(payload) != promised:
            raise WeightsError("pressure weights: the checksum does not hold")
        return Weights(
            _plain(payload["boosted"]),
            _recurrent(payload["gru"]),
            _array(payload["mlp4"], (WEIGHT_COUNT,)),
            document["provenance"],
        )
    except (KeyError, TypeError, IndexError, json.JSONDecodeError, RecursionError) as error:
        raise WeightsError(f"pressure weights: cannot be read ({error})") from error


def format_weights(weights: Weights) -> str:
    """Write one document."""
    boosted, gru = weights.boosted, weights.gru
    payload = {
        "boosted": {
            "mean": _rounded(boosted.mean),
            "scale": _rounded(boosted.scale),
            "layers": [[_rounded(part) for part in layer] for layer in boosted.layers],
        },
        "gru": {name: _rounded(getattr(gru, name)) for name in ("mean", "scale", "gates", "out")},
        "mlp4": _rounded(weights.mlp4),
    }
    parts = {
        "version": VERSION,
        "provenance": dict(weights.provenance),
        "features": list(FEATURES),
        "checksum": checksum(payload),
        "weights": payload,
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in parts.items())
    return "{\n" + lines + "\n}\n"


def checksum(payload: object) -> str:
    """SHA-256 of the payload in one canonical form."""
    canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(part: Mapping[str, Any]) -> Plain:
    count = len(FEATURES)
    layers = []
    before = count
    for weights, bias in part["layers"]:
        after = len(bias)
        layers.append((_array(weights, (after, before)), _array(bias, (after,))))
        before = after
    if before != 1 or not layers:
        raise WeightsError("pressure weights: the plain network does not end in one number")
    return Plain(_array(part["mean"], (count,)), _array(part["scale"], (count,)), tuple(layers))


def _recurrent(part: Mapping[str, Any]) -> Recurrent:
    count, hidden = len(FEATURES), len(part["out"]) - 1
    return Recurrent(
        _array(part["mean"], (count,)),
        _array(part["scale"], (count,)),
        _array(part["gates"], (3 * hidden, count + hidden + 1)),
        _array(part["out"], (hidden + 1,)),
    )


def _array(values: object, shape: tuple[int, ...]) -> FloatArray:
    try:
        array = np.array(values, dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise WeightsError(f"pressure weights: no numbers ({error})") from error
    if array.shape != shape or not np.all(np.abs(array) <= MAX_ABSOLUTE):  # NaN is not either
        raise WeightsError(f"pressure weights: not finite numbers in the shape {shape}")
    return array


def _rounded(array: FloatArray) -> Any:  # noqa: ANN401
    if array.ndim:
        return [_rounded(part) for part in array]
    return float(f"{float(array):.{DIGITS}g}")
