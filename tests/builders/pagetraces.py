"""Page traces for tests: built from lists, or drawn with a seed; and the files that `traces.pgt` reads."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from plimsoll.pages.trace import PageTrace
from plimsoll_cli.traces.pgt import MAGIC


def page_trace(
    pages: Sequence[int], kinds: Sequence[int] | None = None, gaps: Sequence[int] | None = None
) -> PageTrace:
    """A trace of these pages; loads, a hundred thousand raw references apart, where nothing else is said."""
    n = len(pages)
    return PageTrace(
        np.array(pages, np.uint32),
        np.array(kinds if kinds is not None else [1] * n, np.uint8),
        np.array(gaps if gaps is not None else [100_000] * n, np.uint32),
    )


def mixed_trace(seed: int, references: int, pages: int = 400) -> PageTrace:
    """A hot set, scans and one-time pages in turn, as real programs have them."""
    rng = np.random.default_rng(seed)
    parts = []
    while sum(map(len, parts)) < references:
        hot = rng.zipf(1.3, size=200) % (pages // 4)
        begin = int(rng.integers(pages // 4, pages // 2))
        scan = np.arange(begin, begin + pages // 3)
        once = rng.integers(pages // 2, pages, size=50)
        parts += [hot, scan, once] if rng.random() < 0.5 else [once, hot]
    page = np.concatenate(parts)[:references]
    kinds, gaps = rng.integers(0, 3, references), rng.integers(1, 5000, references)
    return page_trace(list(page), list(kinds), list(gaps))


def write_pages(path: Path, trace: PageTrace) -> None:
    """Write a trace in the format that `traces.pgt` describes."""
    steps = np.diff(trace.page.astype(np.int64), prepend=0)
    codec = pa.Codec("zstd", compression_level=12)
    raw = (_shuffled(steps.astype(np.int32)), trace.kind.tobytes(), _shuffled(trace.gap))
    parts = [codec.compress(part, asbytes=True) for part in raw]
    header = json.dumps({"n": len(trace), "lens": [len(part) for part in parts]}).encode()
    path.write_bytes(MAGIC + len(header).to_bytes(4, "little") + header + b"".join(parts))


def _shuffled(values: npt.NDArray[Any]) -> bytes:
    return np.ascontiguousarray(values).view(np.uint8).reshape(-1, 4).T.tobytes()
