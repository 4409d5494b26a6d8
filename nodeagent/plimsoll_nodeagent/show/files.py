"""Recordings as files: `.npz` with the arrays of `Recording` under their own names, and nothing pickled.

In: a path. Out: a `Recording`, or `RecordingError` with a sentence. The format is documented in
docs/agent.md: `version`, `axis`, `name`, `seconds`, `edges`, `heat`, `usage_bytes`, `limit_bytes`,
`swap_bytes`, and `reclaimed_bytes` where that was told.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from plimsoll.pages.recording import VERSION, Axis, Recording
from plimsoll_nodeagent.show.written import Holds, held, write_whole

_ARRAYS = ("seconds", "edges", "heat", "usage_bytes", "limit_bytes", "swap_bytes")
_MAY_LACK = ("reclaimed_bytes",)


_KNOWN = ("seconds", "edges", "heat")  # of the others NaN is not known, infinity no limit
_DIMENSIONS = {"heat": 2}
_FARTHEST_SECONDS = 1e11  # three thousand years


class RecordingError(ValueError):
    """A file that is no recording; its text names it and what is wrong."""


def save(recording: Recording, path: Path) -> None:
    """Write a recording. Raises OSError."""
    arrays: dict[str, Any] = {name: getattr(recording, name) for name in (*_ARRAYS, *_MAY_LACK)}
    arrays = {name: values for name, values in arrays.items() if values is not None}
    words: dict[str, Any] = {
        "version": np.array(VERSION),
        "axis": np.array(recording.axis.value),
        "name": np.array(recording.name),
    }
    write_whole(path, lambda file: np.savez_compressed(file, **words, **arrays))


def load(path: Path) -> Recording:
    """Read a recording. Raises RecordingError."""
    if path.is_file() and held(path) is not Holds.ARRAYS:
        raise RecordingError(f"{path}: is no recording (.npz)")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            _check(path, int(found["version"]))
            names = (*_ARRAYS, *(each for each in _MAY_LACK if each in found))
            arrays = {name: found[name] for name in names}
            axis, name = Axis(str(found["axis"])), str(found["name"])
        _sound(path, arrays)
        return Recording(axis=axis, name=name, **arrays)
    except RecordingError:
        raise
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from None
    except TypeError:  # numpy gives one array, and no archive of them
        raise RecordingError(f"{path}: is no recording (.npz)") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, OverflowError) as error:
        raise RecordingError(f"{path}: {error.args[0] if error.args else 'cut off'}") from None


def is_recording(path: Path) -> bool:
    """Whether an archive is a recording, of whichever version; what cannot be read is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {"version.npy", "heat.npy", "axis.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _check(path: Path, version: int) -> None:
    if version != VERSION:
        raise RecordingError(f"{path}: of version {version}, not {VERSION}")


def _sound(path: Path, arrays: dict[str, Any]) -> None:
    """Refuse what would fail, or draw nonsense, only later."""
    for name, values in arrays.items():
        if values.dtype.kind not in "fiu" or values.ndim != _DIMENSIONS.get(name, 1):
            raise RecordingError(f"{path}: {name} is {values.dtype}{list(values.shape)}, not numbers")
    if not arrays["heat"].size:
        raise RecordingError(f"{path}: holds no look")
    for name in _KNOWN:
        if not np.isfinite(arrays[name]).all():
            raise RecordingError(f"{path}: {name} is not finite everywhere")
    if arrays["heat"].min() < 0:
        raise RecordingError(f"{path}: heat is below zero")
    if np.abs(arrays["seconds"]).max() > _FARTHEST_SECONDS:
        raise RecordingError(f"{path}: seconds reach {np.abs(arrays['seconds']).max():g}: no such time")
