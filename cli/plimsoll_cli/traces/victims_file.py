"""Victims files of the replay contract: an array `victims_<capacity>` (uint32) for each capacity, in an .npz.

A capacity is named by the fraction as the person wrote it, so that a file says what was asked for.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plimsoll_cli.failure import OptionError
from plimsoll_cli.traces.parquet import TraceError
from plimsoll_cli.written import write_whole

PREFIX = "victims_"

Victims = npt.NDArray[np.uint32]


def fractions(text: str) -> dict[str, float]:
    """`0.1,0.5` as names and numbers. Raises OptionError for what is no share of the footprint."""
    found: dict[str, float] = {}
    for name in text.split(","):
        word = name.strip()
        value = fraction(word)
        if value is None:
            raise OptionError(f"--capacity {text!r}: {word!r} is no fraction of the footprint (0 < it <= 1)")
        if value in found.values():
            raise OptionError(f"--capacity {text!r}: {word!r} is there twice")
        found[word] = value
    return found


def fraction(word: str) -> float | None:
    """A share of the footprint, or None."""
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 < value <= 1 else None


def write_victims(path: Path, victims: Mapping[str, Victims]) -> None:
    """Write one array a capacity."""
    arrays = {f"{PREFIX}{name}": values for name, values in victims.items()}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    write_whole(path, file.getvalue())


def read_victims(path: Path) -> dict[str, Victims]:
    """One array a capacity, checked for names and types."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:  # Type: a lone array
        raise TraceError(f"{path}: not a readable .npz file") from error
    named = {name.removeprefix(PREFIX): values for name, values in arrays.items() if name.startswith(PREFIX)}
    if not named:
        raise TraceError(f"{path}: has no array `{PREFIX}<capacity>`")
    for name, values in named.items():
        if fraction(name) is None:
            raise TraceError(f"{path}: array `{PREFIX}{name}`: {name!r} is no fraction of the footprint")
        if values.dtype != np.uint32 or values.ndim != 1:
            raise TraceError(f"{path}: array `{PREFIX}{name}` is {values.dtype}, not one row of uint32")
    return named
