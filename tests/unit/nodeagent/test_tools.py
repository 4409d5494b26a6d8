"""The commands, called as a person calls them, on fixture trees."""

import json

import numpy as np
import pytest

from builders.agents import COLD, AgentOn
from plimsoll.pages.recording import Axis, Recording
from plimsoll_nodeagent.main import main
from plimsoll_nodeagent.serve.local import LocalDoor, ask
from plimsoll_nodeagent.show.files import load, save

MIB = float(1 << 20)


def run(capsys, *words: object) -> tuple[int, str, str]:
    code = main([str(each) for each in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def recorded(tmp_path):
    rng = np.random.default_rng(3)
    heat = (rng.random((80, 40)) < np.linspace(0.8, 0.01, 40)).astype(np.float32)
    flat = np.full(80, 40 * MIB)
    path = tmp_path / "redis.npz"
    save(
        Recording(Axis.ADDRESS, np.arange(1.0, 81), np.arange(41) * MIB, heat, flat, flat, flat, "redis"),
        path,
    )
    return path


def test_a_recording_is_replayed(capsys, recorded):
    code, out, _ = run(capsys, "replay", recorded, "--policy", "idle-age:3", "--policy", "adaptive")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["policy", "idle-age:3", "adaptive"]
    assert run(capsys, "replay", recorded, "--policy", "magic")[0] == 1


def test_a_recording_is_drawn(capsys, recorded, tmp_path):
    code, out, _ = run(capsys, "heatmap", recorded)
    assert (code, "working set" in out) == (0, True)
    code, out, _ = run(
        capsys, "heatmap", recorded, "--svg", tmp_path / "a.svg", "--html", tmp_path / "a.html"
    )
    assert code == 0
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    assert "<svg" in (tmp_path / "a.html").read_text()
    (tmp_path / "bad.npz").write_bytes(b"x")
    code, _, err = run(capsys, "heatmap", tmp_path / "bad.npz")
    assert (code, "bad.npz" in err) == (1, True)


def test_a_cgroup_is_recorded_by_idle_age(capsys, tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    path = agent.node.container(1).path
    where = tmp_path / "out.npz"
    flags = ["--root", agent.node.root, "--cgroup", path, "-o", where, "--for", "20ms", "--every", "5ms"]
    code, out, err = run(capsys, "record", *flags)
    assert code == 0, err
    made = load(where)
    assert made.axis is Axis.IDLE_AGE
    assert len(made.seconds) == 4
    assert made.heat[-1].sum() == pytest.approx(64 * MIB, rel=0.01)
    assert str(where) in out


def test_a_cgroup_that_is_not_there_is_named(capsys, tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    code, _, err = run(
        capsys, "record", "--root", agent.node.root, "--cgroup", "no.slice", "-o", tmp_path / "a"
    )
    assert (code, "no.slice" in err) == (1, True)


@pytest.mark.parametrize("by", ["damon", "lru"])
def test_what_cannot_be_recorded_says_why(capsys, tmp_path, by: str):
    agent = AgentOn(tmp_path, containers=1)
    (agent.node.root / "sys/kernel/debug/lru_gen").unlink()
    flags = ["--root", agent.node.root, "--cgroup", agent.node.container(1).path, "-o", tmp_path / "a"]
    code, _, err = run(capsys, "record", *flags, "--by", by, "--every", "1ms", "--for", "2ms")
    assert code == 1
    assert ("--mode act" if by == "damon" else "lru_gen is gone") in err


def test_a_dry_run_says_what_would_be_taken_and_takes_nothing(capsys, tmp_path):
    agent = AgentOn(tmp_path, containers=1, policy=COLD)
    usage = agent.node.file(1, "memory.current")
    before = usage.read_text()
    flags = ["--root", agent.node.root, "--cgroup", agent.node.container(1).path, "--every", "1ms"]
    code, out, err = run(
        capsys,
        "reclaim",
        "--dry-run",
        *flags,
        "--policy-file",
        agent.policy_file,
        "--state-dir",
        tmp_path / "none",
    )
    assert code == 0, err
    assert "would take" in out
    assert "refault-budget" in out
    assert usage.read_text() == before
    assert not (tmp_path / "none").exists()


def test_without_dry_run_reclaim_is_refused(capsys):
    with pytest.raises(SystemExit) as refused:
        main(["reclaim"])
    assert refused.value.code == 2


def test_who_holds_damon_is_told(capsys, tmp_path):
    agent = AgentOn(tmp_path)
    assert "DAMON is free" in run(capsys, "damon", "--root", agent.node.root)[1]
    (agent.node.root / "sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds").write_text("2\n")
    assert "somebody else has 2 kdamonds" in run(capsys, "damon", "--root", agent.node.root)[1]


def test_a_model_is_taught_told_and_refused_when_damaged(capsys, recorded, tmp_path):
    state = tmp_path / "state"
    flags = ["--state-dir", state, "--socket", tmp_path / "no.sock"]
    assert "built-in prior" in run(capsys, "mempred", "status", *flags)[1]
    code, out, _ = run(capsys, "mempred", "train", recorded, "--class", "redis", "--state-dir", state)
    assert (code, "version 1" in out) == (0, True)
    assert "1 classes" in run(capsys, "mempred", "status", *flags)[1]
    assert "redis" in run(capsys, "mempred", "report", *flags)[1]
    (path,) = (state / "models").glob("*.json")
    path.write_text(path.read_text().replace("redis", "radis"))
    assert "REFUSED: the checksum does not hold" in run(capsys, "mempred", "status", *flags)[1]


def test_a_running_agent_changes_its_page_policy_by_its_socket(capsys, tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(2)
    socket = tmp_path / "a.sock"
    door = LocalDoor(socket, agent.made.calls())
    door.start()
    try:
        assert socket.stat().st_mode & 0o777 == 0o600
        assert (
            run(capsys, "set-policy", "survival", "--socket", socket)[1]
            == "page policy: survival (was by policy)\n"
        )
        assert agent.tick(1).page_policy == "survival"
        assert (
            "the running agent uses version 0"
            in run(capsys, "mempred", "status", "--socket", socket, "--state-dir", tmp_path / "state")[1]
        )
        assert len(ask(socket, {"do": "report"})["containers"]) == 2
        for wrong in ({"do": "reboot"}, {}, []):
            with pytest.raises(ValueError, match="there are"):
                ask(socket, wrong)
    finally:
        door.close()
    assert not socket.exists()
    assert run(capsys, "set-policy", "lru", "--socket", socket)[0] == 1


def test_status_tells_by_which_means_each_engine_works(capsys, tmp_path):
    agent = AgentOn(tmp_path)
    code, out, _ = run(capsys, "status", "--root", agent.node.root)
    assert code == 0
    assert "ENGINE" in out
    assert json.loads(run(capsys, "status", "--root", agent.node.root, "-o", "json")[1])["capabilities"][
        "engines"
    ]


def test_named_cgroups_stand_alone(capsys, tmp_path):
    agent = AgentOn(tmp_path, containers=3)
    path = agent.node.container(2).path.removeprefix("/sys/fs/cgroup/")
    code, out, _ = run(capsys, "status", "--root", agent.node.root, "--cgroup", path)
    assert (code, "0 pods, 1 containers" in out) == (0, True)
