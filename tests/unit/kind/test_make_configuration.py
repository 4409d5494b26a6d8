"""kind's configuration for the machine: what users are given, with fewer nodes and what emulation needs."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

KIND = Path(__file__).parents[3] / "kind"


def run(workers: int, cluster: Path = KIND / "cluster.yaml") -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, KIND / "vm/kind/make-configuration.py", cluster),
        *(KIND / "vm/kind/emulated.yaml", "--image", "an/image:1", "--address", "10.77.0.11"),
        *("--patches", "/patches"),
        *("--workers", str(workers)),
    ]
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)


def made(workers: int):
    done = run(workers)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.mark.parametrize(("workers", "roles"), [(0, ["control-plane"]), (1, ["control-plane", "worker"])])
def test_as_many_workers_as_asked_for_stay_and_every_node_has_our_image(workers, roles):
    nodes = made(workers)["nodes"]
    assert [each["role"] for each in nodes] == roles
    assert {each["image"] for each in nodes} == {"an/image:1"}


def test_workers_keep_the_kubelets_that_users_are_given():
    given = yaml.safe_load((KIND / "cluster.yaml").read_text())
    workers = [each for each in made(2)["nodes"] if each["role"] == "worker"]
    for worker in workers:
        assert worker.pop("image") == "an/image:1"
    assert workers == [each for each in given["nodes"] if each["role"] == "worker"]
    assert all(each["extraMounts"] for each in workers)


def test_only_the_control_plane_gets_the_patches_of_emulation():
    (plane, *workers) = made(2)["nodes"]
    assert plane["extraMounts"] == [{"hostPath": "/patches", "containerPath": "/kind/patches"}]
    assert "/patches" not in {mount["hostPath"] for each in workers for mount in each["extraMounts"]}


@pytest.mark.parametrize("place", ["/kind/patches", "/elsewhere"])
def test_a_mount_of_the_control_planes_own_is_kept_and_never_hidden(tmp_path: Path, place: str):
    whole = yaml.safe_load((KIND / "cluster.yaml").read_text())
    own = {"hostPath": "kind/patches/swap", "containerPath": place}
    whole["nodes"][0]["extraMounts"] = [own]
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(whole))
    done = run(0, tmp_path / "cluster.yaml")
    if place == "/kind/patches":
        assert done.returncode == 1
        assert "has a mount at /kind/patches already" in done.stderr
    else:
        (plane,) = yaml.safe_load(done.stdout)["nodes"]
        assert [each["containerPath"] for each in plane["extraMounts"]] == [place, "/kind/patches"]


def test_what_users_are_given_for_every_node_comes_first_and_what_emulation_needs_is_added():
    given = yaml.safe_load((KIND / "cluster.yaml").read_text())["kubeadmConfigPatches"]
    whole = made(0)
    assert whole["kubeadmConfigPatches"][: len(given)] == given
    added = [yaml.safe_load(each) for each in whole["kubeadmConfigPatches"][len(given) :]]
    (init,) = [each for each in added if each["kind"] == "InitConfiguration"]
    assert init["timeouts"]["controlPlaneComponentHealthCheck"] == "15m"
    assert whole["networking"]["apiServerAddress"] == "10.77.0.11"
