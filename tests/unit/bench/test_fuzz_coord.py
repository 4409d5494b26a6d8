"""The fuzzer of the wire and what stands behind it, with few inputs: `make bench-fuzz` takes a million."""

import pytest

from builders.benches import bench_modules

INPUTS = 3000


@pytest.fixture(scope="module")
def fuzzer():
    return bench_modules(main="fuzz_coord").main


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_input_raises_anything_that_is_not_announced_and_every_kind_of_end_is_met(fuzzer, seed):
    counts = await fuzzer.fuzz(INPUTS, seed)
    assert counts.total() == INPUTS
    assert set(counts) == set(fuzzer.OUTCOMES)
    assert min(counts.values()) > INPUTS / 1000
