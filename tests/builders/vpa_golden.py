"""The inputs of tests/golden/vpa/main.go drawn again, and VPA's answers read from its file.

Every draw is exact in any language: splitmix64, powers of two, sums of whole half seconds.
"""

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from plimsoll.usage.buckets import ExponentialBuckets

VECTORS = Path(__file__).parents[1] / "golden" / "vpa" / "vectors.bin.gz"
MEMORY = ExponentialBuckets()
CPU = ExponentialBuckets(max_value=1000.0, first_bucket=0.01)
LEVELS = (0.0, 0.5, 0.9, 0.95, 1.0)  # and a sixth of each case's own
MAX_STEPS = 40

_HALF_LIVES = np.array([24, 24, 24, 48, 7, 1]) * 3600
_SEED, _GAMMA = np.uint64(0x706C696D736F6C6C), np.uint64(0x9E3779B97F4A7C15)
_RESULT = np.dtype(
    [
        ("percentiles", "<f8", 6),
        ("total", "<f8"),
        ("reference", "<i8"),
        ("crc", "<u4"),
        ("low", "u1"),
        ("high", "u1"),
    ]
)


@dataclass(frozen=True)
class BucketVectors:
    """VPA's bucket starts, and the buckets it found for values at and off their edges."""

    buckets: ExponentialBuckets
    starts: np.ndarray
    values: np.ndarray
    found: np.ndarray


@dataclass(frozen=True)
class Golden:
    """VPA's answers: for each case and for each pair merged; its file has those of checkpoints too."""

    memory: BucketVectors
    cpu: BucketVectors
    direct: np.ndarray
    merged: np.ndarray


@dataclass(frozen=True)
class Cases:
    """Inputs, `[cases, 40]`; only the first `steps[case]` are used."""

    steps: np.ndarray
    subtract: np.ndarray
    value: np.ndarray
    weight: np.ndarray
    seconds: np.ndarray
    level: np.ndarray
    is_memory: np.ndarray
    half_life_seconds: np.ndarray

    def buckets(self, case: int) -> ExponentialBuckets:
        return MEMORY if self.is_memory[case] else CPU


def _draw(item, step, slot):
    # Arrays of at least one dimension wrap around silently, as Go does.
    item, step, slot = (np.atleast_1d(np.asarray(x, dtype=np.uint64)) for x in (item, step, slot))
    z = _SEED + _GAMMA * (np.uint64(1) + item * np.uint64(4096) + step * np.uint64(16) + slot)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _fraction(bits):
    return (bits >> np.uint64(11)).astype(np.float64) / 2**53


def _random_value(bits, memory):
    low, span = np.where(memory, 17, -10), np.where(memory, 25, 22)
    return np.ldexp(
        1 + _fraction(bits), (low + (bits % span.astype(np.uint64)).astype(np.int64)).astype(np.int32)
    )


def _edge_value(bits, buckets):
    starts = buckets.starts[1 + (bits % np.uint64(buckets.count - 1)).astype(np.int64)]
    ulps = ((bits >> np.uint64(32)) % np.uint64(9)).astype(np.int64) - 4
    return (starts.view(np.int64) + ulps).view(np.float64)


def _weight(bits):
    kind, fraction = bits % np.uint64(64), _fraction(bits)
    eighth = kind % np.uint64(8)
    choices = [kind == 63, eighth < 4, eighth == 4, eighth == 5, eighth == 6]
    return np.select(choices, [0.0, 1.0, 0.1, fraction, np.ldexp(fraction, -20)], fraction * 1024)


def _half_seconds(bits):
    day = 2 * 86400
    kind, amount = bits % np.uint64(16), bits >> np.uint64(8)
    ahead, far, back = ((amount % np.uint64(m)).astype(np.int64) for m in (14400, 300 * day, 20 * day))
    return np.select([kind < 8, kind < 12, kind == 12, kind < 15], [ahead, day, far, -back], 1)


@cache
def cases(count: int) -> Cases:
    item = np.arange(count, dtype=np.uint64)
    is_memory = item % np.uint64(16) < 14
    bits = _draw(item[:, None, None], np.arange(1, MAX_STEPS + 1)[:, None], np.arange(5))
    start = 2 * (1_600_000_000 + (_draw(item, 0, 0) % np.uint64(200_000_000)).astype(np.int64))
    halves = start[:, None] + np.cumsum(_half_seconds(bits[..., 0]), axis=1)
    kind = bits[..., 1] % np.uint64(8)
    edge = np.where(is_memory[:, None], _edge_value(bits[..., 2], MEMORY), _edge_value(bits[..., 2], CPU))
    value = np.where(kind == 4, edge, _random_value(bits[..., 2], is_memory[:, None]))
    weight = _weight(bits[..., 3])
    row = np.arange(count)
    for step in range(1, MAX_STEPS):  # take an earlier sample back; it may itself be one taken back
        again = (kind[:, step] == 5) | (kind[:, step] == 6)
        earlier = (bits[:, step, 4] % np.uint64(step)).astype(np.int64)
        for column in (value, weight, halves):
            column[:, step] = np.where(again, column[row, earlier], column[:, step])
    return Cases(
        steps=(1 + _draw(item, 0, 1) % np.uint64(40)).astype(np.int64),
        subtract=kind >= 5,
        value=value,
        weight=weight,
        seconds=halves / 2,
        level=_fraction(_draw(item, 0, 2)),
        is_memory=is_memory,
        half_life_seconds=_HALF_LIVES[(np.arange(count) // 2) % len(_HALF_LIVES)],
    )


@cache
def golden() -> Golden:
    data = memoryview(gzip.decompress(VECTORS.read_bytes()))
    assert data[:8] == b"VPAGOLD1"
    count, edges = np.frombuffer(data, "<u4", 2, 8).tolist()
    place = 16
    found = []
    for buckets, memory, stream in ((MEMORY, True, 1 << 32), (CPU, False, 1 << 33)):
        (buckets_count,) = np.frombuffer(data, "<u4", 1, place).tolist()
        starts = np.frombuffer(data, "<f8", buckets_count, place + 4)
        place += 4 + 8 * buckets_count
        i = np.arange(edges)
        bits = _draw(stream, i // 16, i % 16)
        values = np.where(i % 4 != 0, _edge_value(bits, buckets), _random_value(bits, np.asarray(memory)))
        found.append(BucketVectors(buckets, starts, values, np.frombuffer(data, "u1", edges, place)))
        place += edges
    tables = []
    for length in (count, count, count // 2):
        tables.append(np.frombuffer(data, _RESULT, length, place))
        place += length * _RESULT.itemsize
    assert place == len(data)
    direct, _after_save_and_load, merged = tables
    return Golden(*found, direct, merged)
