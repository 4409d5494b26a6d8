"""What bench-pressure stands on: gradients, outcomes, the model of a kernel, recordings read back."""

import gzip
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from builders.cgroup_tree import MIB, CgroupTree, Memory
from plimsoll.pressure.calibrated import sigmoid
from plimsoll.pressure.features import FEATURE_COUNT
from plimsoll.pressure.network import Plain, Recurrent
from plimsoll.pressure.sample import ScopeKind
from plimsoll_nodeagent.sample.pressure_readings import node_readings
from plimsoll_nodeagent.sample.triggers import KUBE_NODE

BENCH = Path(__file__).resolve().parents[3] / "bench"
sys.path.append(str(BENCH))

import pressure_data as data  # noqa: E402
import pressure_kernel as kernels  # noqa: E402
import pressure_scores as scores  # noqa: E402
import pressure_training as training  # noqa: E402
import record_pressure as recorder  # noqa: E402

MACHINE = kernels.Machine(ScopeKind.KUBE_NODE, 1000.0, 300.0, 500.0, 200.0, 900.0, 200.0, 400.0, 200.0, 2)
CALM = kernels.Want(200.0, 50.0, 10.0, 0.0, 0.0)


def log_loss(probability, came):
    return -np.mean(came * np.log(probability) + (1 - came) * np.log(1 - probability))


def differences(loss, array):
    out = np.zeros_like(array)
    for at in np.ndindex(array.shape):
        kept = array[at]
        array[at] = kept + 1e-6
        above = loss()
        array[at] = kept - 1e-6
        out[at] = (above - loss()) / 2e-6
        array[at] = kept
    return out


@pytest.mark.parametrize("leak", [0.0, training.LEAK])
def test_gradients_of_the_plain_network(leak):
    random = np.random.default_rng(1)
    inputs, came = random.normal(size=(20, 5)), (random.random(20) < 0.4).astype(float)
    layers = [
        (random.normal(size=(4, 5)), random.normal(size=4)),
        (random.normal(size=(1, 4)), random.normal(size=1)),
    ]

    def loss():
        raw = inputs @ layers[0][0].T + layers[0][1]
        return log_loss(sigmoid(np.maximum(raw, leak * raw) @ layers[1][0][0] + layers[1][1][0]), came)

    found = training.plain_gradients(layers, inputs, came, leak)
    for array, gradient in zip([each for layer in layers for each in layer], found, strict=True):
        assert gradient == pytest.approx(differences(loss, array), abs=1e-6)


def test_gradients_of_the_recurrent_network_and_steps_nobody_can_judge():
    random = np.random.default_rng(2)
    gates, out = random.normal(0, 0.3, (9, 8)), random.normal(0, 0.5, 4)
    inputs, came = random.normal(size=(3, 6, 4)), (random.random((3, 6)) < 0.4).astype(float)
    came[0, 2] = np.nan

    def loss():
        network, state, said = Recurrent(np.zeros(4), np.ones(4), gates, out), np.zeros((3, 3)), []
        for at in range(6):
            state = network.step(inputs[:, at], state)
            said.append(sigmoid(network.logit(state)))
        known = ~np.isnan(came)
        return log_loss(np.array(said).T[known], came[known])

    found = training.recurrent_gradients(gates, out, inputs, came)
    assert found[0] == pytest.approx(differences(loss, gates), abs=1e-6)
    assert found[1] == pytest.approx(differences(loss, out), abs=1e-6)


def test_flat_weights_are_mlp4s():
    random = np.random.default_rng(3)
    inputs, came = random.random((600, 4)), np.zeros(600)
    came[inputs[:, 1] < 0.3] = 1.0
    small = training.fit_plain(inputs, came, (training.HIDDEN,), 0, scaled=False, leak=0.0)
    flat = training.flat(small)
    hidden = np.maximum(flat[:32].reshape(8, 4) @ inputs[0] + flat[32:40], 0.0)
    like = Plain(small.mean, small.scale, small.layers)
    assert flat[40:48] @ hidden + flat[48] == pytest.approx(float(like.logit(inputs[0])), abs=0.2)


def stepped(machine, want, seconds, seed=0):
    kernel = kernels.Kernel(machine, np.random.default_rng(seed))
    for _ in range(int(seconds / kernels.STEP_SECONDS)):
        kernel.step(want)
        assert -1e-6 <= kernel.swapped <= machine.swap_mib + 1e-6
        assert kernel.anon >= -1e-6
        assert kernel.free >= -1e-6
        assert 0.0 <= kernel.fragmentation <= 1.0
    return kernel


def test_in_the_model_a_calm_machine_has_no_pressure():
    kernel = stepped(MACHINE, CALM, 20)
    assert kernel.counters.some_seconds == 0.0
    assert kernel.counters.oom_kills == 0
    assert kernel.anon == pytest.approx(200.0)


@pytest.mark.parametrize("kind", [ScopeKind.KUBE_NODE, ScopeKind.CONTAINER])
def test_in_the_model_too_much_without_swap_is_killed_and_with_swap_stalls(kind):
    machine = replace(MACHINE, kind=kind)
    greedy = replace(CALM, anon_mib=1100.0)
    assert stepped(replace(machine, swap_mib=0.0), greedy, 20).counters.oom_kills > 0
    swapping = stepped(machine, greedy, 20).counters
    assert swapping.oom_kills == 0
    assert swapping.some_seconds > 0.1


def test_in_the_model_compaction_mends_fragmentation_and_reclaim_frees():
    rough = replace(CALM, churn=400.0)
    kernel = stepped(MACHINE, rough, 20)
    before, free = kernel.fragmentation, kernel.free
    kernel.compact()
    kernel.reclaim(30.0)
    for _ in range(20):
        kernel.step(replace(CALM, file_reads=0.0))
    assert kernel.fragmentation < 0.7 * before
    assert kernel.free > free + 25.0


def test_a_modelled_run_is_the_same_again_and_is_called_a_model():
    first, second = (
        data.modelled_run("burst", 0.95, ScopeKind.CONTAINER, np.random.default_rng(4)) for _ in "12"
    )
    assert repr(first.readings) == repr(second.readings)
    assert first.source == "model"


def test_the_last_horizon_of_a_run_is_not_judged():
    run = data.modelled_run("sawtooth", 0.98, ScopeKind.CONTAINER, np.random.default_rng(5))
    one = data.judged(run)
    assert np.isnan(one.came[-10:]).all()
    assert not np.isnan(one.came[:-12]).any()
    assert training.rows_of(one).features.shape == (int((~np.isnan(one.came)).sum()), FEATURE_COUNT)


def test_a_recording_is_read_back(tmp_path):
    path = tmp_path / "one.jsonl.gz"
    label = {"pattern": "ramp", "level": 0.95, "scope": "x", "kind": "container"}
    lines = [{"name": "a kernel"}]
    lines += [
        {**label, "seconds": at / 10, "total_bytes": 1e9, "free_bytes": 5e8, "refaults": None}
        for at in range(9)
    ]
    lines.append({"pattern": "ramp", "level": 0.95, "end": True, "requests": 3})
    with gzip.open(path, "wt") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)
    (run,) = data.recorded([path])
    assert (run.source, run.pattern, run.kind, len(run.readings)) == (
        "a kernel",
        "ramp",
        ScopeKind.CONTAINER,
        9,
    )
    assert np.isnan(run.readings[0].refaults)
    assert set(data.READING_FIELDS) >= set(lines[1]) - set(label)


def test_what_is_recorded_is_what_the_agent_is_given(tmp_path):
    tree = CgroupTree(tmp_path)
    ours = tree.container(memory=Memory(64 * MIB, memory_max=str(256 * MIB)))
    path = f"/sys/fs/cgroup/{ours.relative_to(tree.cgroups)}"
    tree.write(tmp_path / "sys/devices/system/node/has_memory", "0\n")
    info = {"MemTotal": 800, "MemFree": 100, "Active(file)": 40, "Inactive(file)": 30, "SReclaimable": 20}
    text = "".join(f"Node 0 {name}: {kib} kB\n" for name, kib in info.items())
    tree.write(tmp_path / "sys/devices/system/node/node0/meminfo", text)
    container, kube_node, numa_node = recorder.Scopes(tree.fs, "cgroup", "/sys/fs/cgroup", path).read(5.0)
    assert [each["kind"] for each in (container, kube_node, numa_node)] == [
        "container", "kube node", "numa node"
    ]  # fmt: skip
    assert (container["total_bytes"], container["available_bytes"]) == (256 * MIB, 208 * MIB)
    assert numa_node["available_bytes"] == (100 + 30 + 10) * 1024  # active pages are not easily had
    given = node_readings(tree.fs, 5.0)
    assert {**asdict(given[KUBE_NODE]), "scope": "kube_node", "kind": "kube node"} == pytest.approx(
        kube_node, nan_ok=True
    )
    assert set(container) - {"scope", "kind"} == set(data.READING_FIELDS)
    assert len(list(recorder.Scopes(tree.fs, "node").read(5.0))) == 2


def test_the_stress_program_needs_nothing_but_the_standard_library(tmp_path):
    command = [sys.executable, "-S", "-I", str(recorder.STRESS), "ramp", str(8 << 20), "0.2", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path)
    assert done.stdout.split()
    assert all(len(word) == 8 and float(word) >= 0.0 for word in done.stdout.split())


def test_the_recorder_refuses_a_machine_that_is_no_virtual_one(monkeypatch):
    monkeypatch.setattr(recorder, "read", lambda path: "Dell Inc.\n" if "dmi" in str(path) else "memory cpu")
    with pytest.raises(SystemExit, match="not put under memory stress"):
        recorder.refuse_unless_safe(anywhere=False)
    recorder.refuse_unless_safe(anywhere=True)


def test_auc_counts_pairs_and_ties_half():
    said = scores.Said(
        np.array([0.1, 0.4, 0.4, 0.9]),
        np.array([0.0, 0.0, 1.0, 1.0]),
        np.zeros(4, dtype=bool),
        np.array([0.2, 0.6, 0.93, 0.97]),
        np.arange(4),
        np.array([0, 0, 1, 1]),
        np.zeros(4, dtype=bool),
    )
    assert scores.auc(said) == pytest.approx(3.5 / 4)
    assert scores.accuracy(said) == 0.75
    assert [int(scores.band_of(said, band).sum()) for band in scores.BANDS] == [1, 1, 0, 1, 1]
    assert np.isnan(scores.auc(said.take(said.came == 1.0)))
