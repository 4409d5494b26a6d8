"""The sandbox's Prometheus, asked by the operator's own client over HTTP in its very words."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest

from plimsoll.usage.sample import BIN_SECONDS, Quantity
from plimsoll.workload import WorkloadRef
from plimsoll_cli.sandbox.api import SandboxApi
from plimsoll_cli.sandbox.prometheus import PastContainer, Prometheus
from plimsoll_operator.observe.backfill import PastRequest, past_of
from plimsoll_operator.observe.prometheus import PrometheusApi
from plimsoll_operator.observe.source import SourceError

FIRST_BIN = 120_000  # a whole hour
MIB = 2**20


def container(pod: str, usage: list[float]) -> PastContainer:
    values = np.array(usage) * MIB
    ooms = np.zeros(len(values))
    ooms[3] = 1
    return PastContainer("demo", pod, "main", FIRST_BIN, values, np.full(len(values), 64.0 * MIB), ooms)


@asynccontextmanager
async def asked(known: list[PastContainer]):
    api = SandboxApi(lambda: 0.0)
    api.routes["/prometheus/api/v1/*"] = Prometheus(lambda: known).handle
    async with api.listen() as url:
        client = PrometheusApi(f"{url}/prometheus", 5.0)
        try:
            yield client
        finally:
            client.close()


async def past(known: list[PastContainer], name: str = "web"):
    request = PastRequest(WorkloadRef("demo", "Deployment", name), "", (), Quantity.WORKING_SET)
    now = (FIRST_BIN + 24) * BIN_SECONDS
    async with asked(known) as client:
        return await asyncio.to_thread(past_of, client, request, FIRST_BIN * BIN_SECONDS, now)


async def test_backfill_gets_every_bins_maximum_in_its_bin():
    usage = [10.0 + k for k in range(24)]
    found = (await past([container("web-abc12-xyz89", usage)]))["main"]
    bins = np.floor(found.seconds / BIN_SECONDS).astype(int) - FIRST_BIN
    fine = {int(b): v / MIB for b, v in zip(bins[2:], found.bytes_[2:], strict=True)}
    assert fine == {k: usage[k] for k in range(24)}


async def test_backfill_gets_ooms_with_the_limit_then_in_force():
    found = (await past([container("web-abc12-xyz89", [10.0] * 24)]))["main"]
    assert found.oom_limit_bytes.tolist() == [64 * MIB]
    assert FIRST_BIN * BIN_SECONDS < found.oom_seconds[0] < (FIRST_BIN + 12) * BIN_SECONDS


async def test_only_the_workloads_own_pods_answer():
    known = [container("web-abc12-xyz89", [10.0] * 24), container("website-abc12-xyz89", [99.0] * 24)]
    assert (await past(known))["main"].bytes_.max() == 10 * MIB


async def test_a_missing_bin_stays_missing():
    usage = [10.0] * 24
    usage[20] = float("nan")
    found = (await past([container("web-abc12-xyz89", usage)]))["main"]
    bins = set(np.floor(found.seconds[2:] / BIN_SECONDS).astype(int) - FIRST_BIN)
    assert 20 not in bins


async def test_an_unknown_question_is_refused_with_a_sentence():
    async with asked([]) as client:
        with pytest.raises(SourceError, match="does not know this question"):
            await asyncio.to_thread(client.query, "up", 0.0)
