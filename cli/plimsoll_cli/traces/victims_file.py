"""Victims files of the replay contract: an array `victims_<capacity>` (uint32) for each capacity, in an .npz.

A capacity is named by the fraction as the person wrote it, so that a file says what was asked for.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plimsoll_cli.failure import CommandError
from plimsoll_cli.traces.parquet import TraceError

PREFIX = "victims_"

Victims = npt.NDArray[np.uint32]


def fractions(text: str) -> dict[str, float]:
    """`0.1,0.5` as names and numbers. Raises CommandError for what is no share of the footprint."""
    found: dict[str, float] = {}
    for name in text.split(","):
        word = name.strip()
        value = fraction(word)
        if value is None:
            raise CommandError(f"--capacity {text!r}: {word!r} is no fraction of the footprint (0 < it <= 1)")
        if value in found.values():
            raise CommandError(f"--capacity {text!r}: {word!r} is there twice")
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
    try:
        with path.open("wb") as file:  # numpy would put .npz behind any other name
            np.savez_compressed(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise TraceError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_victims(path: Path) -> dict[str, Victims]:
    """One array a capacity, checked for names and types."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise TraceError(f"{path}: not an .npz file")
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TraceError(f"{path}: not a readable .npz file: {error}") from error
    named = {name.removeprefix(PREFIX): values for name, values in arrays.items() if name.startswith(PREFIX)}
    if not named:
        raise TraceError(f"{path}: has no array `{PREFIX}<capacity>`")
    for name, values in named.items():
        if fraction(name) is None:
            raise TraceError(f"{path}: array `{PREFIX}{name}`: {name!r} is no fraction of the footprint")
        if values.dtype != np.uint32 or values.ndim != 1:
            raise TraceError(f"{path}: array `{PREFIX}{name}` is {values.dtype}, not one row of uint32")
    return named
