"""Page traces for tests: built from lists, or drawn with a seed."""

from collections.abc import Sequence

import numpy as np

from plimsoll.pages.trace import PageTrace


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
