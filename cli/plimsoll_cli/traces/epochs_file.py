"""Epochs files of the replay contract: decisions out to `.npz`, and back in.

Arrays: `epoch` int32 and `page` uint32, the trace's own index; where pages were prefetched also
`prefetch_epoch` and `prefetch_page`. Every error names the file.
"""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from plimsoll.pages.epochs import EpochView
from plimsoll.replay.epochs import EpochReplay
from plimsoll_cli.traces.parquet import TraceError
from plimsoll_cli.written import write_whole

PAGED_OUT = ("epoch", "page")
PREFETCHED = ("prefetch_epoch", "prefetch_page")


def write_epochs(path: Path, view: EpochView, replay: EpochReplay, *, prefetch: bool) -> None:
    """Write the decisions. Raises TraceError where the disk refuses."""
    arrays: dict[str, Any] = {"epoch": replay.epoch.astype(np.int32), "page": view.page[replay.at]}
    if prefetch:
        arrays["prefetch_epoch"] = replay.prefetch_epoch.astype(np.int32)
        arrays["prefetch_page"] = view.page[replay.prefetch_at]
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    write_whole(path, file.getvalue())


def read_epochs(path: Path, view: EpochView) -> EpochReplay:
    """The decisions in a file. Raises TraceError for what is no such file or names an unknown page."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TraceError(f"{path}: not a readable .npz file") from error
    epoch, at = _pair(path, view, arrays, PAGED_OUT)
    if not set(PREFETCHED) & set(arrays):
        return EpochReplay(epoch, at)
    return EpochReplay(epoch, at, *_pair(path, view, arrays, PREFETCHED))


def _pair(
    path: Path, view: EpochView, arrays: dict[str, np.ndarray], names: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and positions in the view's pages."""
    for name in names:
        if name not in arrays:
            raise TraceError(f"{path}: array {name!r} is missing")
        if arrays[name].ndim != 1 or arrays[name].dtype.kind not in "iu":
            found = f"{arrays[name].dtype}{list(arrays[name].shape)}"
            raise TraceError(f"{path}: array {name!r} is {found}, not whole numbers [n]")
    epoch, page = (arrays[name] for name in names)
    if len(epoch) != len(page):
        raise TraceError(f"{path}: {names[0]!r} has {len(epoch)} rows, {names[1]!r} {len(page)}")
    at = np.minimum(np.searchsorted(view.page, page), view.footprint_pages - 1)
    strange = view.page[at] != page
    if strange.any():
        raise TraceError(
            f"{path}: page {page[strange][0]} is not in the trace ({int(strange.sum())} such rows)"
        )
    return epoch.astype(np.int64), at.astype(np.int64)
