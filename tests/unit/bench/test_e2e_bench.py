"""What a run of the end-to-end tests may be called: cached, partly, from nothing; what is refused."""

from pathlib import Path
from types import ModuleType

import pytest

from builders.benches import bench_modules

DISK = "node-0123456789abcdef.raw"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The bench on a machine of its own: it would take VM nodes, builds `DISK`."""
    found = bench_modules(main="e2e").main
    for name, said in (
        ("kind/up.sh", "echo ${PLIMSOLL_CLUSTER:-vm}"),
        ("kind/e2e.sh", "mkdir -p build/e2e; printf 'cluster up\\t7\\n' >build/e2e/times"),
        (
            "kind/vm/build-disk.sh",
            f'mkdir -p "$PLIMSOLL_CACHE/vm"; f="$PLIMSOLL_CACHE/vm/{DISK}"; >"$f"; echo "$f"',
        ),
        ("kind/vm/make-images.sh", "echo 'agent: 70 MB unpacked, 20 MB compressed'"),
    ):
        script = tmp_path / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(f"#!/bin/sh\n{said}\n")
        script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for name in ("PLIMSOLL_CLUSTER", "PLIMSOLL_CLUSTER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLIMSOLL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("sys.argv", ["e2e.py", "core", "--dirty"])
    monkeypatch.setattr(found, "REPOSITORY", tmp_path)
    monkeypatch.setattr(found, "TIMES", tmp_path / "build/e2e/times")
    monkeypatch.setattr(found, "PODMAN_IMAGES", tmp_path / "build/e2e/podman-images")
    monkeypatch.setattr(found, "commit", lambda: "0123456789ab")
    return found


@pytest.mark.parametrize(
    ("before", "source"),
    [
        ([], "from_nothing"),
        (["bin/kubelet"], "partly_cached"),
        (["vm/node-fedcba9876543210.raw"], "partly_cached"),
        (["vm/node-fedcba9876543210.raw", f"vm/{DISK}"], "cached"),
    ],
)
def test_only_the_disk_that_nodes_start_from_makes_a_run_a_cached_one(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[str], source: str
):
    for name in before:
        (tmp_path / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / name).touch()
    written = []
    monkeypatch.setattr(bench, "write_results", lambda _name, rows, *_: written.extend(rows))
    bench.main()
    names = [each.name for each in written]
    assert names[0] == f"e2e.core.{source}.cluster_up_seconds"
    assert "image.agent.compressed_mb" in names


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, "the cluster plimsoll is up"),
        ({"PLIMSOLL_CLUSTER_NAME": "other"}, ""),
        ({"PLIMSOLL_CLUSTER_NAME": "other", "PLIMSOLL_CLUSTER": "kind"}, "would come from kind"),
    ],
)
def test_a_cluster_that_is_up_or_no_vm_nodes_are_refused_before_anything_runs(
    bench: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    why: str,
):
    (tmp_path / "state/plimsoll/plimsoll").mkdir(parents=True)
    (tmp_path / "state/plimsoll/plimsoll/provider").write_text("vm\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bench, "write_results", lambda *_: "written")
    if why:
        with pytest.raises(SystemExit):
            bench.main()
        assert why in capsys.readouterr().err
    else:
        bench.main()
    assert (tmp_path / "build/e2e/times").exists() is not bool(why)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("0123456789ab", {"operator.podman.compressed": 91, "operator.podman.unpacked": 341}),
        ("0123456789ab+", {}),  # of a changed tree
        ("ba9876543210", {}),  # of another commit
        (None, {}),  # never built here
    ],
)
def test_what_podman_built_is_told_only_of_this_very_commit(
    bench: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: str | None,
    expected: dict[str, int],
):
    if at is not None:
        built = tmp_path / "build/e2e/podman-images"
        built.parent.mkdir(parents=True)
        name = "localhost/plimsoll/operator:0.1.0-01234567, built by podman"
        built.write_text(f"{at}\n{name}: 341 MB unpacked, 91 MB compressed\n")
    written = []
    monkeypatch.setattr(bench, "write_results", lambda _name, rows, *_: written.extend(rows))
    bench.main()
    found = {each.name: each for each in written if ".podman." in each.name}
    assert {name: each.value for name, each in found.items()} == {
        f"image.{name}_mb": float(value) for name, value in expected.items()
    }
    assert {each.command for each in found.values()} <= {"make images-podman"}
