"""Epoch views for tests: drawn with a seed, or turning against whoever reclaimed."""

import numpy as np

from plimsoll.pages.epochs import EpochView


def view_of(accessed: np.ndarray, page: np.ndarray | None = None) -> EpochView:
    """A view of these bits [epochs, n]; every third access writes."""
    accessed = np.asarray(accessed, np.bool_)
    if page is None:
        page = np.arange(accessed.shape[1])
    written = accessed & (np.arange(accessed.shape[1]) % 3 == 0)
    return EpochView(np.asarray(page, np.uint32), accessed, written)


def program(seed: int, epochs: int = 120, pages: int = 300) -> EpochView:
    """Hot pages, pages that are touched now and then, a scan, and pages touched once."""
    rng = np.random.default_rng(seed)
    rate = np.where(rng.random(pages) < 0.3, 0.8, 10.0 ** rng.uniform(-3, -1, pages))
    accessed = rng.random((epochs, pages)) < rate
    for begin in range(int(rng.integers(5, 30)), epochs, int(rng.integers(20, 60))):
        accessed[begin, pages // 2 : pages // 2 + pages // 4] = True
    accessed[rng.integers(0, epochs, pages), np.arange(pages)] = True
    return view_of(accessed, np.sort(rng.choice(20_000, pages, replace=False)))


def turncoat(lull: int = 80, epochs: int = 400, pages: int = 1000) -> EpochView:
    """Half stays hot; the rest lies still for `lull` epochs, is swept through at once, and so on."""
    accessed = np.zeros((epochs, pages), np.bool_)
    accessed[:, : pages // 2] = True
    accessed[0] = True
    accessed[lull::lull] = True
    return view_of(accessed)
