"""kind's configuration for the machine: what users are given, with fewer nodes and what emulation needs."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

KIND = Path(__file__).parents[3] / "kind"


def made(workers: int):
    command = [
        *(sys.executable, KIND / "vm/kind/make-configuration.py", KIND / "cluster.yaml"),
        *(KIND / "vm/kind/emulated.yaml", "--image", "an/image:1", "--address", "10.77.0.11"),
        *("--patches", "/patches"),
        *("--workers", str(workers)),
    ]
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=True)
    return yaml.safe_load(done.stdout)


@pytest.mark.parametrize(("workers", "roles"), [(0, ["control-plane"]), (1, ["control-plane", "worker"])])
def test_as_many_workers_as_asked_for_stay_and_every_node_has_our_image(workers, roles):
    nodes = made(workers)["nodes"]
    assert [each["role"] for each in nodes] == roles
    assert {each["image"] for each in nodes} == {"an/image:1"}


def test_a_worker_keeps_the_kubelet_that_users_are_given():
    given = yaml.safe_load((KIND / "cluster.yaml").read_text())
    (worker,) = [each for each in made(1)["nodes"] if each["role"] == "worker"]
    (first, *_) = [each for each in given["nodes"] if each["role"] == "worker"]
    assert worker["kubeadmConfigPatches"] == first["kubeadmConfigPatches"]


def test_what_users_are_given_for_every_node_comes_first_and_what_emulation_needs_is_added():
    given = yaml.safe_load((KIND / "cluster.yaml").read_text())["kubeadmConfigPatches"]
    whole = made(0)
    assert whole["kubeadmConfigPatches"][: len(given)] == given
    added = [yaml.safe_load(each) for each in whole["kubeadmConfigPatches"][len(given) :]]
    (init,) = [each for each in added if each["kind"] == "InitConfiguration"]
    assert init["timeouts"]["controlPlaneComponentHealthCheck"] == "15m"
    assert whole["networking"]["apiServerAddress"] == "10.77.0.11"
