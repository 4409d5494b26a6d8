"""In: an operator's door on loopback. Out: what simulated agents saw of it; they are real agents to it."""

import asyncio

import pytest

from builders.attending import Attended
from builders.authority import Authority
from plimsoll.coordinate.messages import LeaseAnswer, LeaseRequest, ModelDelta, SampleBatch, Unread
from plimsoll_cli.loadgen.main import parser, run


class Answering:
    """Grants every lease."""

    def __init__(self):
        self.service, self.bodies = None, []

    def greeted(self, kube_node, facts, now_seconds):
        assert len(facts.roster.added) == 5

    def heard(self, kube_node, body, now_seconds):
        self.bodies.append((kube_node, body.read() if isinstance(body, Unread) else body))
        if isinstance(body, LeaseRequest):
            self.service.offer(kube_node, LeaseAnswer(body.lease_id, 1 << 30, 60.0))


@pytest.fixture
def operator(tmp_path):
    made = Attended(tmp_path, Authority(), hearer=Answering())
    made.pods.clear()
    made.reviews.kube_nodes |= {f"loadgen-{number}": f"node-{number}" for number in range(3)}
    made.authority.write(tmp_path / "agent", "loadgen")
    return made


async def test_simulated_agents_attend_and_count_what_they_say(operator):
    async with operator.serving():
        operator.hearer.service = operator.service
        flags = ["--operator-address", f"127.0.0.1:{operator.port}", "--agents", "3", "--containers", "5"]
        flags += ["--identity-dir", str(operator.directory / "agent"), "--seconds", "6"]
        flags += ["--sample-seconds", "0.2", "--lease-seconds", "0.3", "--delta-seconds", "0.3"]
        said = await asyncio.wait_for(run(parser().parse_args(flags)), 60)
    heard = [body for _, body in operator.hearer.bodies]
    assert max(attending for _, attending in said["attending"]) == 3
    assert said["streams"] == 3
    checksums = [each.checksum for each in heard if isinstance(each, ModelDelta)]
    assert len(checksums) == len(set(checksums))
    assert set(said["deltas"]) - set(said["deltas_waiting"]) <= set(checksums) <= set(said["deltas"])
    assert len(checksums) > 3
    assert 0 < said["leases"] == said["granted"]
    assert 0 < said["lease_p50_ms"] <= said["lease_p99_ms"]
    samples = [each for each in heard if isinstance(each, SampleBatch)]
    assert 0 < len(samples) <= said["samples"]
    assert {len(each.indexes) for each in samples} == {5}
    assert said["failures"] == {}
