"""What runs in the benchmark's machine: on fixtures, sockets and processes, no kernel file of this host."""

import contextlib
import json
import math
import os
import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from builders.container_model import ContainerModel, cold_heavy
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ReclaimPolicy

ROOT = Path(__file__).parents[3]
GUEST = ROOT / "bench/node/guest"


@pytest.fixture(scope="module")
def guest():
    sys.path.insert(0, str(GUEST))
    try:
        import clients
        import controllers
        import kernel
        import predictors
        import pressing
        import readings
        import recording
        import senpai
        import workloads
    finally:
        sys.path.remove(str(GUEST))
    return SimpleNamespace(
        controllers=controllers,
        clients=clients,
        kernel=kernel,
        predictors=predictors,
        pressing=pressing,
        readings=readings,
        recording=recording,
        senpai=senpai,
        workloads=workloads,
    )


@pytest.fixture(scope="module")
def node():
    sys.path.append(str(ROOT / "bench"))
    try:
        import node
    finally:
        sys.path.remove(str(ROOT / "bench"))
    return node


def cgroup(guest, directory, *, usage=1000, stalled_us=0, refaults=0):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "memory.current").write_text(f"{usage}\n")
    (directory / "memory.stat").write_text(
        f"anon 1\nworkingset_refault_anon {refaults}\nworkingset_refault_file 3\n"
    )
    pressure = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={stalled_us}\nfull avg10=0.00 total=0\n"
    (directory / "memory.pressure").write_text(pressure)
    (directory / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    return guest.kernel.Cgroup(directory)


def machine(root, *, pswpin=0, stalled_us=0):
    (root / "proc/pressure").mkdir(parents=True, exist_ok=True)
    vmstat = f"pswpin {pswpin}\npswpout 9\npgalloc_normal 100\npgalloc_dma32 20\nallocstall_movable 4\n"
    (root / "proc/vmstat").write_text(vmstat + "workingset_refault_anon 7\ncompact_stall 5\noom_kill 1\n")
    averages = "avg10=0.00 avg60=0.00 avg300=0.00"
    (root / "proc/pressure/memory").write_text(
        f"some {averages} total={stalled_us}\nfull {averages} total=10\n"
    )
    memory = "MemTotal: 1000 kB\nMemFree: 200 kB\nMemAvailable: 400 kB\nSwapTotal: 500 kB\nSwapFree: 100 kB\n"
    (root / "proc/meminfo").write_text(memory + "HugePages_Total: 0\n")
    node0 = root / "sys/devices/system/node/node0"
    node0.mkdir(parents=True, exist_ok=True)
    names = {"MemTotal": 800, "MemFree": 100, "Active(file)": 20, "Inactive(file)": 30, "SReclaimable": 8}
    (node0 / "meminfo").write_text("".join(f"Node 0 {name}: {kib} kB\n" for name, kib in names.items()))
    stat = "numa_hit 100\nnuma_miss 10\nnuma_foreign 3\nlocal_node 90\nother_node 20\n"
    (node0 / "numastat").write_text(stat)
    (node0.parent / "has_memory").write_text("0\n")
    (root / "proc/buddyinfo").write_text(
        f"Node 0, zone   Normal {' 0' * 9} 1 0\nNode 0, zone DMA32 512{' 0' * 10}\n"
    )


def test_a_window_is_the_difference_of_two_looks(guest, tmp_path):
    redis, agent = cgroup(guest, tmp_path / "redis"), cgroup(guest, tmp_path / "agent")
    machine(tmp_path, pswpin=10)
    before = guest.kernel.look(100.0, {"redis": redis}, {"agent": agent}, tmp_path)
    cgroup(guest, tmp_path / "redis", stalled_us=200_000, refaults=50)
    (tmp_path / "agent/cpu.stat").write_text("usage_usec 3500000\n")
    machine(tmp_path, pswpin=70, stalled_us=100_000)
    after = guest.kernel.look(110.0, {"redis": redis}, {"agent": agent}, tmp_path)
    found = guest.kernel.window(before, after)
    assert found["psi_some_percent"] == {"redis": 2.0}
    assert found["node_psi_some_percent"] == 1.0
    assert (found["refaults_anon"], found["refaults_file"], found["swap_ins"]) == (50, 0, 60)
    assert found["cpu_percent_of_a_core"] == {"agent": 10.0}


def test_a_reading_is_what_the_kernel_says_and_nan_where_it_says_nothing(guest, tmp_path):
    machine(tmp_path, stalled_us=3_000_000)
    scopes = guest.readings.readings(5.0, tmp_path)
    found = scopes["machine"]
    assert (found.total_bytes, found.available_bytes) == (1000 * 1024, 400 * 1024)
    assert found.allocated_bytes == 120 * 4096
    assert (found.compactions, found.direct_reclaims, found.oom_kills) == (5, 4, 1)
    assert (found.psi_some_seconds, found.refaults) == (3.0, 7.0)
    assert found.swap_used_bytes == 400 * 1024
    assert found.fragmentation_ratio == 0.5
    assert math.isnan(found.events_high)
    numa_node = scopes["node0"]
    assert (numa_node.total_bytes, numa_node.available_bytes) == (800 * 1024, 134 * 1024)
    assert numa_node.allocated_bytes == 110 * 4096
    assert (numa_node.compactions, numa_node.fragmentation_ratio) == (5, 0.5)
    assert guest.readings.unusable_ratio(0, tmp_path) == 0.5


def test_senpai_lowers_by_a_hundredth_an_interval_where_nobody_stalls(guest):
    law = guest.senpai.Law(1000.0)
    said = [law.tick(0.0) for _ in range(12)]
    assert said == [None] * 5 + [pytest.approx(990.0)] + [None] * 5 + [pytest.approx(980.1)]


def test_senpai_backs_off_at_once_and_by_the_square_of_the_stall(guest):
    law = guest.senpai.Law(1000.0)
    assert law.tick(100_000.0) == pytest.approx(1250.0)  # ten times the bound: (10 / 20)^2
    assert law.tick(10_000_000.0) == pytest.approx(2500.0)  # never more than doubled


def test_senpai_probes_less_the_nearer_the_stall_is_to_its_bound(guest):
    law = guest.senpai.Law(1000.0)
    said = [law.tick(each) for each in (0, 0, 2000.0, 0, 0, 0)]
    assert said[-1] == pytest.approx(1000.0 * (1 - (5 / 10) ** 2 * 0.01))


def test_senpai_continues_at_the_kept_limit_through_reclaim(guest, tmp_path):
    cgroup(guest, tmp_path, usage=1_000_000)
    law = guest.senpai.begun(tmp_path, 400_000)
    assert (tmp_path / "memory.reclaim").read_text() == "600000"
    # The fixture's usage does not fall: memory.high is never set below what is used.
    assert law.limit_bytes == 1_000_000
    assert int((tmp_path / "memory.high").read_text()) == 1_000_000 // 4096 * 4096


def test_skewed_draws_follow_zipf_and_are_scattered(guest):
    drawn = guest.clients.Skewed(1000, 1.2, seed=5)
    found = [drawn.draw() for _ in range(20_000)]
    counts = Counter(found)
    assert sum(count for _, count in counts.most_common(100)) / len(found) == pytest.approx(0.81, abs=0.05)
    assert set(found) <= set(range(1000))
    popular = [each for each, _ in counts.most_common(10)]
    assert max(popular) - min(popular) > 100


def test_percentiles_are_of_the_values_themselves(guest):
    assert guest.clients.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert guest.clients.percentile([float(each) for each in range(100)], 0.99) == 99.0
    assert guest.clients.summary([], 2) == {
        "n": 0,
        "errors": 2,
        "p50_ms": None,
        "p99_ms": None,
        "mean_ms": None,
    }


def test_an_answer_of_redis_is_read_however_it_is_cut(guest):
    near, far = socket.socketpair()
    text = b"$4000\r\n" + bytes(4000) + b"\r\n"
    sender = threading.Thread(
        target=lambda: [far.sendall(text[at : at + 7]) for at in range(0, len(text), 7)]
    )
    sender.start()
    assert guest.clients.read_redis(near) == 4000
    sender.join()
    near.close()
    far.close()


def test_the_web_process_answers_the_clients(guest, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 5000)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(GUEST / "web.py"), str(port), "8", str(tmp_path)]
    process = subprocess.Popen(command)
    try:
        guest.workloads.answers(port)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for path, length in (("/c/3", 4096 - 64), ("/f/0", 5000)):
                connection.sendall(guest.clients.http_get(path))
                assert guest.clients.read_http(connection) == length
    finally:
        process.kill()
        process.wait()


def test_records_are_text_that_can_be_packed(guest):
    import zlib

    text = guest.workloads.records(7)
    assert text == guest.workloads.records(7)
    assert 0.2 < len(zlib.compress(text[:4096], 1)) / 4096 < 0.6


def test_bursts_and_what_is_held_are_as_asked_for(tmp_path):
    program = tmp_path / "stress"
    subprocess.run(["gcc", "-O1", "-o", program, GUEST / "stress.c"], check=True)
    held = subprocess.run(
        [program, "hold", "1"], input="6\n", capture_output=True, text=True, timeout=20, check=True
    )
    assert "holding 6\n" in held.stdout
    with subprocess.Popen(
        [program, "burst", "1", "3", "1", "1", "7"], stdout=subprocess.PIPE, text=True
    ) as bursts:
        lines = [bursts.stdout.readline().split() for _ in range(20)]
        bursts.kill()
    assert {int(mib) for mib, _ in lines} == {1, 2, 3}
    assert all(int(microseconds) > 0 for _, microseconds in lines)


def test_forecasts_are_counted_in_the_band_they_were_made_in(guest):
    from plimsoll.pressure.mlp4 import Mlp4
    from plimsoll.pressure.sample import PressureSample

    shadow = guest.predictors.Shadow(Mlp4())
    shadow.begin()
    for tick in range(40):
        sample = PressureSample(
            tick * 0.5, 0.5, 1e9, free_ratio=0.3, available_ratio=0.4, allocation_bytes_per_second=1e6,
            compactions=0, psi_some_ratio=0.0, oom_kills=0,
        )  # fmt: skip
        shadow.tick(sample)
    (band, counts), *others = shadow.hits().items()
    assert (band, others) == ("50-75", [])
    assert counts[0] == 40 - 10  # those of the last horizon are not judged yet
    assert counts[2:] == [0, 0]
    assert 0 <= counts[1] <= counts[0]


@pytest.mark.parametrize(("used", "name"), [(0.0, "0-50"), (0.5, "50-75"), (0.949, "90-95"), (1.0, "95-100")])
def test_bands_are_named_by_their_bounds(guest, used, name):
    assert guest.predictors.band(used) == name


def test_a_line_of_the_guest_is_one_json_document(guest, tmp_path):
    reporter = guest.kernel.Reporter(tmp_path / "port")
    reporter.say("block", round=1, arm="off")
    assert json.loads((tmp_path / "port").read_text()) == {"kind": "block", "round": 1, "arm": "off"}


def test_senpai_here_is_the_core_s_baseline(guest):
    from plimsoll.pages.control_baselines import SenpaiHigh
    from plimsoll.pages.control_types import ContainerReading

    law, core, total_us = guest.senpai.Law(1e9), SenpaiHigh(), 0.0
    core.step(ContainerReading(0.0, 1_000_000_000, stall_seconds_total=0.0))
    drawn = random.Random(3)
    for second in range(1, 200):
        stalled_us = drawn.choice([0.0, 0.0, 0.0, 1500.0, 40_000.0])
        total_us += stalled_us
        law.tick(stalled_us)
        core.step(ContainerReading(float(second), 1, stall_seconds_total=total_us / 1e6))
        assert law.limit_bytes == pytest.approx(core.high_bytes)


def test_a_recording_comes_home_whole_or_not_at_all(guest, node, tmp_path, monkeypatch):
    monkeypatch.setattr(node, "KEPT", tmp_path / "kept")
    node.KEPT.mkdir()
    source = tmp_path / "pressure-node.jsonl.gz"
    source.write_bytes(random.Random(1).randbytes(100_000))
    guest.recording.send(source, guest.kernel.Reporter(tmp_path / "port"))
    lines = [json.loads(line) for line in (tmp_path / "port").read_text().splitlines()]
    assert [each.read_bytes() for each in node.put_together(lines)] == [source.read_bytes()]
    assert node.put_together(lines[1:]) == []


def test_a_client_that_is_far_behind_leaves_out_what_nobody_waits_for(guest, monkeypatch):
    asker = guest.clients.Asker.__new__(guest.clients.Asker)
    asker._period, asker._missed, asker._lock = 0.5, 0, threading.Lock()
    monkeypatch.setattr(guest.clients.time, "monotonic", lambda: 100.0)
    assert asker._next(97.0) == 97.0  # three seconds late: still asked, and felt
    assert asker._next(80.0) == 95.5
    assert asker._missed == 31


def test_lines_of_a_program_are_whole_and_not_waited_for(guest):
    near, far = os.pipe()
    with os.fdopen(near) as stdout:
        lines = guest.pressing.Lines(SimpleNamespace(stdout=stdout))
        assert lines.new() == []
        os.write(far, b"holding 3\n12 45")
        assert lines.new() == ["holding 3"]
        os.write(far, b"6\n")
        assert lines.new() == ["12 456"]
        os.close(far)
        assert lines.new() == []


def test_blocks_are_long_enough_for_an_agent_that_begins_each_of_them_anew(node):
    """On the model, a fresh law in each block comes as far as one that lives through all of them."""

    def out(seconds, *, anew):
        model = ContainerModel(cold_heavy(1024), 1024)
        law = ReclaimLaw(ReclaimPolicy(ReclaimMode.PREDICTIVE))
        for second in range(13 * seconds):
            if anew and second >= 3 * seconds and second % seconds == 0:
                law = ReclaimLaw(law.policy)
            model.second()
            if second % 10 == 5:
                decision = law.step(model.reading())
                law.settle(decision.reclaim_bytes, model.take(decision.reclaim_bytes))
        return 1.0 - model.resident.mean()

    seconds = int(node.BLOCK_SECONDS)
    assert out(seconds, anew=True) > 0.9 * out(seconds, anew=False) > 0.4
    assert out(45, anew=True) < 0.5 * out(45, anew=False)  # as it was


def test_warming_up_is_no_silence_of_the_machine(node, monkeypatch):
    allowed = []

    class Guest:
        def lines(self, silent_seconds):
            allowed.append(silent_seconds)
            return iter(())

    monkeypatch.setattr(node, "booted", lambda *_: contextlib.nullcontext(Guest()))
    monkeypatch.setattr(sys, "argv", ["node.py", "--dirty"])
    chosen = node.options()
    assert node.measure("mixed", chosen, SimpleNamespace())
    (seconds,) = allowed
    assert seconds > node.settings("mixed", chosen)["warm_seconds"] + 2 * chosen.seconds / 3


def test_the_agent_takes_the_command_that_the_benchmark_starts_it_with(guest, node):
    from plimsoll_nodeagent.main import DEFAULT_INTERVAL_SECONDS, parser

    def started(interval: str | None):
        command = node.agent_command(interval)
        words = guest.controllers.filled(command, ["/sys/fs/cgroup/a", "/sys/fs/cgroup/b"])
        return parser().parse_args(words[words.index("run") :])

    assert started("2s").interval == 2.0
    options = started(None)
    assert options.cgroup == ["/sys/fs/cgroup/a", "/sys/fs/cgroup/b"]
    assert (options.mode, options.port) == ("act", guest.controllers.PORT)
    assert options.interval == DEFAULT_INTERVAL_SECONDS  # as it is installed


def test_the_policy_that_the_guest_is_given_is_one_the_agent_reads(node, tmp_path):
    from plimsoll_nodeagent.control.policies import read_policy_file

    (tmp_path / "policy.json").write_text(json.dumps(node.policy("Predictive")))
    assert read_policy_file(tmp_path / "policy.json").mode is ReclaimMode.PREDICTIVE
