"""Recordings as files: `.npz` with the arrays of `Recording` under their own names, and nothing pickled.

In: a path. Out: a `Recording`, or `RecordingError` with a sentence. The format is documented in
docs/agent.md: `version`, `axis`, `name`, `seconds`, `edges`, `heat`, `usage_bytes`, `limit_bytes`,
`swap_bytes`.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from plimsoll.pages.recording import VERSION, Axis, Recording

_ARRAYS = ("seconds", "edges", "heat", "usage_bytes", "limit_bytes", "swap_bytes")


class RecordingError(ValueError):
    """A file that is no recording; its text names it and what is wrong."""


def save(recording: Recording, path: Path) -> None:
    """Write a recording. Raises OSError."""
    arrays: dict[str, Any] = {name: getattr(recording, name) for name in _ARRAYS}
    words: dict[str, Any] = {
        "version": np.array(VERSION),
        "axis": np.array(recording.axis.value),
        "name": np.array(recording.name),
    }
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **words, **arrays)
    partial.replace(path)


def load(path: Path) -> Recording:
    """Read a recording. Raises RecordingError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            _check(path, int(found["version"]))
            arrays = {name: found[name] for name in _ARRAYS}
            return Recording(axis=Axis(str(found["axis"])), name=str(found["name"]), **arrays)
    except RecordingError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RecordingError(f"{path}: {error}") from None


def _check(path: Path, version: int) -> None:
    if version != VERSION:
        raise RecordingError(f"{path}: of version {version}, not {VERSION}")
