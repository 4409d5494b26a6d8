"""In: an operator's door on loopback. Out: what simulated agents saw of it; they are real agents to it."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from builders.attending import Attended, until
from builders.authority import Authority
from plimsoll.coordinate.messages import LeaseAnswer, LeaseRequest, ModelDelta, SampleBatch, Unread
from plimsoll_cli.loadgen import main as loadgen
from plimsoll_cli.loadgen import processes
from plimsoll_cli.loadgen.main import attending, main, parser, summary
from plimsoll_cli.loadgen.processes import LostError, TooManyError, attended, shares
from plimsoll_cli.loadgen.share import Part

AGENTS = 6


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
    made.reviews.kube_nodes |= {f"loadgen-{number}": f"node-{number}" for number in range(AGENTS)}
    made.authority.write(tmp_path / "agent", "loadgen")
    return made


def flags(operator, *more: str) -> list[str]:
    made = ["--operator-address", f"127.0.0.1:{operator.port}", "--containers", "5"]
    made += ["--identity-dir", str(operator.directory / "agent")]
    return [*made, "--sample-seconds", "0.2", "--lease-seconds", "0.3", "--delta-seconds", "0.3", *more]


@pytest.mark.parametrize("in_processes", [1, 2])
async def test_simulated_agents_attend_and_count_what_they_say(operator, capsys, in_processes):
    more = ("--agents", str(AGENTS), "--processes", str(in_processes), "--seconds", "5")
    async with operator.serving():
        operator.hearer.service = operator.service
        arguments = flags(operator, *more)
        assert await asyncio.wait_for(asyncio.to_thread(main, arguments), 120) == 0
    said = json.loads(capsys.readouterr().out)
    heard = [body for _, body in operator.hearer.bodies]
    assert (said["agents"], said["processes"]) == (AGENTS, in_processes)
    assert max(now for _, now in said["attending"]) == AGENTS
    assert said["streams"] == AGENTS
    assert {node for node, _ in operator.hearer.bodies} == {f"node-{number}" for number in range(AGENTS)}
    checksums = [each.checksum for each in heard if isinstance(each, ModelDelta)]
    assert len(checksums) == len(set(checksums)) > 3
    assert len(said["deltas"]) == len(set(said["deltas"]))
    assert set(said["deltas"]) - set(said["deltas_waiting"]) <= set(checksums) <= set(said["deltas"])
    assert 0 < said["leases"] == said["granted"] == len(said["round_trips"]) <= said["leases_asked"]
    assert 0 < said["lease_p50_ms"] <= said["lease_p99_ms"]
    samples = [each for each in heard if isinstance(each, SampleBatch)]
    assert 0 < len(samples) <= said["samples"]
    assert {len(each.indexes) for each in samples} == {5}
    assert said["failures"] == {}
    assert said["cpu_seconds"] > 0


def children() -> list[int]:
    """Processes of agents that this one's threads have started."""
    found = (each.read_text().split() for each in Path("/proc/self/task").glob("*/children"))
    return [int(pid) for pids in found for pid in pids if "spawn_main" in command(int(pid))]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


async def test_what_the_others_saw_is_not_the_whole_where_a_process_is_killed(operator):
    async with operator.serving():
        operator.hearer.service = operator.service
        options = parser().parse_args(
            flags(operator, "--agents", "4", "--processes", "2", "--seconds", "600")
        )
        running = asyncio.create_task(asyncio.to_thread(attended, options))
        await until(lambda: len({node for node, _ in operator.hearer.bodies}) == 4)
        _, other = children()
        os.kill(other, signal.SIGKILL)
        with pytest.raises(LostError, match="ended with code -9"):
            await asyncio.wait_for(running, 120)
        assert children() == [], "nobody goes on alone"


@pytest.mark.parametrize(
    ("agents", "asked", "files", "sizes"),
    [
        (100, 0, 20_000, [100]),
        (1000, 0, 20_000, [1000]),
        (5000, 0, 20_000, [1000] * 5),
        (5000, 2, 20_100, [2500] * 2),
        (10, 3, 20_000, [4, 3, 3]),
        (1000, 0, 1024, [200, 200, 200, 200, 200]),  # 231 at most
    ],
)
def test_agents_are_shared_among_processes_and_each_has_room(agents, asked, files, sizes):
    made = shares(agents, asked, files)
    assert [len(each) for each in made] == sizes
    assert sorted(number for each in made for number in each) == list(range(agents))
    assert {each[0] for each in made} == set(range(len(sizes))), "the first to start are in all of them"


@pytest.mark.parametrize(
    ("agents", "asked", "files", "says"),
    [
        (5000, 1, 10_000, "--processes 3 or more"),
        (100_000, 0, 1024, "--processes 433 or more"),
        (5000, 0, 90, r"`ulimit -Hn`, RLIMIT_NOFILE"),
        (5000, 7, 90, "a process may have 90"),
    ],
)
def test_a_limit_that_is_too_low_is_named_before_anything_is_started(
    monkeypatch, capsys, operator, agents, asked, files, says
):
    with pytest.raises(TooManyError, match=says):
        shares(agents, asked, files)
    monkeypatch.setattr(processes, "raised_open_files", lambda: files)
    monkeypatch.setattr(processes, "get_context", lambda _: pytest.fail("something was started"))
    few = ["--operator-address", "x:1", "--identity-dir", str(operator.directory / "agent")]
    with pytest.raises(SystemExit) as ended:
        loadgen.main([*few, "--agents", str(agents), "--processes", str(asked)])
    assert ended.value.code == 2
    assert "ulimit -Hn" in capsys.readouterr().err


def part(*changes: tuple[float, int], trips: tuple[tuple[float, float], ...] = ()) -> Part:
    return Part(
        agents=2, silent_at=9.0, changes=[*changes], streams=2, samples=5, samples_given_up=0,
        refused_offers=0, leases_asked=len(trips), granted=0, round_trips=[*trips], deltas=[],
        deltas_waiting=[],
        failures={"unavailable": 1}, cpu_seconds=0.5,
    )  # fmt: skip


def test_how_many_attended_is_the_sum_of_what_each_process_saw_last():
    parts = [part((1.0, 0), (2.0, 1), (4.0, 2)), part((1.0, 0), (3.0, 2), (4.0, 1))]
    assert attending(parts) == [(1.0, 0), (2.0, 1), (3.0, 3)]


def test_percentiles_are_of_all_round_trips_and_not_of_percentiles():
    parts = [part(trips=((5.0, 0.010),) * 99), part(trips=((4.0, 1.0),))]
    said = summary(parts)
    assert said["lease_p50_ms"] == pytest.approx(10.0)
    assert said["lease_p99_ms"] < 100.0
    assert said["round_trips"][0] == (4.0, 1.0)
    assert (said["failures"], said["cpu_seconds"]) == ({"unavailable": 2}, 1.0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--agents", "-3"), "--agents: '-3' is not a whole number above zero"),
        (("--agents", "0"), "--agents: '0' is not"),
        (("--containers", "0"), "--containers: '0' is not"),
        (("--seconds", "-1"), "--seconds: '-1' is not a number from 0 on"),
        (("--starts-per-second", "0"), "--starts-per-second: '0' is not above zero"),
        (("--starting-seconds", "nan"), "--starting-seconds: 'nan' is not"),
        (("--operator-address", "nonsense"), "--operator-address: 'nonsense' is not HOST:PORT"),
        (("--operator-address", "host:99999"), "is not HOST:PORT"),
        (("--identity-dir", "nowhere"), "--identity-dir: nowhere/tls.crt: No such file"),
    ],
)
def test_flags_that_make_no_sense_are_named(operator, capsys, more, said):
    arguments = flags(operator, *more)
    arguments[1] = "127.0.0.1:7"
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_where_no_agent_attended_the_exit_status_says_so(operator, capsys):
    # Nobody listens: the door was never opened.
    arguments = flags(operator, "--agents", "2", "--seconds", "0.1", "--starting-seconds", "0.5")
    arguments[1] = f"127.0.0.1:{unused_port()}"
    assert main(arguments) == 1
    done = capsys.readouterr()
    assert max(now for _, now in json.loads(done.out)["attending"]) == 0
    assert "no agent attended" in done.err


def unused_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]
