"""The commands, called as a person calls them, on fixture trees."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from builders.agents import COLD, AgentOn
from plimsoll.pages.recording import Axis, Recording
from plimsoll.pages.survival import AGE_EDGES
from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.main import main, parser
from plimsoll_nodeagent.recorder import Taken, record
from plimsoll_nodeagent.serve.local import LocalDoor, ask
from plimsoll_nodeagent.show.files import is_recording, load, save
from plimsoll_nodeagent.show.scale import second_ticks

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
    assert run(capsys, "replay", recorded, "--policy", "magic")[0] == 2
    code, out, _ = run(capsys, "replay", recorded)
    names = ["guarded", "budgeted", "reuse", "survival", "idle-age"]  # what the agent runs
    assert (code, [line.split()[0] for line in out.splitlines()[1:]]) == (0, names)


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
    assert (code, "bad.npz" in err) == (2, True)


def test_a_cgroup_is_recorded_by_idle_age(capsys, tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    path = agent.node.container(1).path
    where = tmp_path / "out.npz"
    flags = ["--root", agent.node.root, "--cgroup", path, "-o", where, "--for", "20ms", "--every", "5ms"]
    stat = agent.node.file(1, "memory.stat")
    stat.write_text(f"{stat.read_text()}swapcached 4096\n")
    agent.node.file(1, "memory.swap.current").write_text("12288\n")
    code, out, err = run(capsys, "record", *flags)
    assert code == 0, err
    made = load(where)
    assert made.axis is Axis.IDLE_AGE
    assert len(made.seconds) == 4
    assert made.heat[-1].sum() == pytest.approx(64 * MIB, rel=0.01)
    assert made.reclaimed_bytes.tolist() == [40 * 4096] * 4
    assert made.swap_bytes.tolist() == [8192] * 4
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
    assert "on trial" in out
    assert "in 10 min about " in out
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
        said = run(capsys, "set-policy", "mlp4", "--socket", socket)[1]
        assert said == "pressure predictor: mlp4 (was boosted)\n"
        assert agent.tick(1).page_policy == "survival"
        assert ask(socket, {"do": "report"})["pressure"]["predictor"] == "mlp4"
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
    assert run(capsys, "set-policy", "lru", "--socket", socket)[0] == 2


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


def reading(agent, tmp_path, output, *more):
    where = ["--root", agent.node.root, "--cgroup", agent.node.container(1).path]
    return ["record", *where, "-o", output, "--for", "20ms", "--every", "5ms", *more]


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "directory", "nowhere", "page trace"])
def test_where_a_recording_cannot_go_is_said_before_it_begins(capsys, tmp_path, kind):
    target = tmp_path / "target"
    if kind == "directory":
        target.mkdir()
    elif kind == "nowhere":
        target = tmp_path / "none" / "x.npz"
    elif kind == "page trace":
        target.write_bytes(b"PGT1 and so on")
    else:
        os.mkfifo(tmp_path / "pipe")
        target = tmp_path / "pipe"
        if kind == "link to a pipe":
            target = tmp_path / "link"
            target.symlink_to(tmp_path / "pipe")
    before = sorted((each, each.lstat().st_mode, each.lstat().st_ino) for each in tmp_path.iterdir())
    # There is no such root: had the recording begun, it would have failed by that.
    code, out, err = run(capsys, "record", "--root", tmp_path, "--cgroup", "x.slice", "-o", target)
    assert (code, out) == (2, "")
    assert str(target) in err
    assert "x.slice" not in err
    assert before == sorted((each, each.lstat().st_mode, each.lstat().st_ino) for each in tmp_path.iterdir())


def test_ctrl_c_keeps_what_was_recorded(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    options = parser().parse_args([str(each) for each in reading(agent, tmp_path, tmp_path / "a.npz")])
    sleeps = iter([None, None])

    def sleep(_seconds: float) -> None:
        if next(sleeps, "stop") == "stop":
            raise KeyboardInterrupt

    clock = iter(np.arange(0.0, 10.0))
    made = record(KernelFs(agent.node.root), options, sleep, lambda: float(next(clock)))
    assert len(made.seconds) == len(made.heat) == 2


def test_ctrl_c_within_a_look_leaves_that_look_out():
    taken = Taken([1.0, 2.0], [], [np.ones(len(AGE_EDGES))] * 3, [1.0, 1.0], [1.0, 1.0], [1.0], [1.0])
    assert taken.recording("x").heat.shape == (1, len(AGE_EDGES))


def test_a_picture_never_takes_the_place_of_a_recording(capsys, recorded, tmp_path):
    other = tmp_path / "other.npz"
    other.write_bytes(recorded.read_bytes())
    for flag in ("--svg", "--html"):
        for path in (recorded, other):
            before = path.read_bytes()
            code, _, err = run(capsys, "heatmap", recorded, flag, path)
            assert (code, str(path) in err) == (2, True)
            assert path.read_bytes() == before


def test_arrays_of_somebody_elses_are_no_earlier_recording(capsys, recorded, tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, weights=np.ones(3))
    before = other.read_bytes()
    code, _, err = run(capsys, "record", "--cgroup", "x", "-o", other)
    assert (code, f"{other}: holds other arrays" in err) == (2, True)
    assert other.read_bytes() == before
    assert is_recording(recorded)


def test_a_picture_that_does_not_fit_on_the_disk_leaves_the_one_before(recorded, tmp_path):
    picture = tmp_path / "a.svg"
    assert main(["heatmap", str(recorded), "--svg", str(picture)]) == 0
    before = picture.read_text()
    words = ["heatmap", str(recorded), "--svg", str(picture)]
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
    call = f"from plimsoll_nodeagent.main import main; sys.exit(main({words!r}))"
    said = subprocess.run([sys.executable, "-c", limit + call], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (
        2,
        f"plimsoll-agent: {picture}: cannot be written: File too large\n",
    )
    assert picture.read_text() == before
    assert not list(tmp_path.glob(".*"))


def changed(recorded, path, **arrays):
    with np.load(recorded) as found:
        np.savez(path, **{**{name: found[name] for name in found.files}, **arrays})
    return path


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        (
            {"heat": np.zeros((0, 40), np.float32)}
            | {name: np.zeros(0) for name in ("seconds", "usage_bytes", "limit_bytes", "swap_bytes")},
            "holds no look",
        ),
        ({"heat": np.full((80, 40), "warm")}, "heat is <U4[80, 40], not numbers"),
        ({"heat": np.full((80, 40), np.inf)}, "heat is not finite"),
        ({"heat": np.full((80, 40), np.nan)}, "heat is not finite"),
        ({"heat": np.ones(40)}, "heat is float64[40], not numbers"),
        ({"seconds": np.linspace(1.0, 1e300, 80)}, "no such time"),
    ],
)
def test_what_a_recording_cannot_hold_is_named(capsys, recorded, tmp_path, arrays, why):
    path = changed(recorded, tmp_path / "odd.npz", **arrays)
    code, out, err = run(capsys, "heatmap", path)
    assert (code, out) == (2, "")
    assert f"{path}: " in err
    assert why in err


def test_what_is_no_archive_is_no_recording(capsys, tmp_path):
    path = tmp_path / "one.npy"
    np.save(path, np.ones(3))
    for content in (path.read_bytes(), b"plain text"):
        path.write_bytes(content)
        assert run(capsys, "heatmap", path)[::2] == (2, f"plimsoll-agent: {path}: is no recording (.npz)\n")


def test_a_recording_of_years_has_few_ticks():
    assert len(second_ticks(0.0, 1e10)) < 10


@pytest.mark.parametrize("words", [["heatmap", "x.npz", "--columns", "1"], ["run", "--port", "99999"]])
def test_numbers_that_make_no_sense_are_refused(capsys, words):
    with pytest.raises(SystemExit) as refused:
        main(words)
    assert refused.value.code == 2
    assert words[-1] in capsys.readouterr().err


@pytest.mark.parametrize("command", [["status"], ["damon"], ["reclaim", "--dry-run"], ["run"]])
def test_a_root_that_is_not_there_is_named(capsys, tmp_path, command):
    with pytest.raises(SystemExit) as refused:
        main([*command, "--root", str(tmp_path / "none")])
    assert refused.value.code == 2
    assert f"--root {tmp_path / 'none'}" in capsys.readouterr().err


def test_a_cgroup_that_is_not_there_or_outside_is_named_by_status(capsys, tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    code, out, err = run(capsys, "status", "--root", agent.node.root, "--cgroup", "nosuch")
    assert (code, out) == (2, "")
    assert "--cgroup /sys/fs/cgroup/nosuch" in err
    code, _, err = run(capsys, "status", "--root", agent.node.root, "--cgroup", "../x")
    assert (code, "`..`" in err) == (2, True)


def test_a_socket_nobody_listens_on_is_named(capsys, tmp_path):
    code, _, err = run(capsys, "set-policy", "lru", "--socket", tmp_path / "no.sock")
    assert (code, err) == (2, f"plimsoll-agent: {tmp_path / 'no.sock'}: No such file or directory\n")


def dry_run(capsys, agent, policy_file):
    where = ["--root", agent.node.root, "--cgroup", agent.node.container(1).path, "--every", "1ms"]
    state = ["--state-dir", agent.directory / "none"]
    return run(capsys, "reclaim", "--dry-run", *where, "--policy-file", policy_file, *state)


@pytest.mark.parametrize("text", [None, "", "{", '{"reclame": {}}', '{"spec": 3}', '{"importance": "Vast"}'])
def test_a_dry_run_with_a_policy_that_cannot_be_read_fails(capsys, tmp_path, text):
    agent = AgentOn(tmp_path, containers=1)
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    code, out, err = dry_run(capsys, agent, path)
    assert (code, out) == (1, "")
    assert str(path) in err


def test_a_container_whose_files_are_garbled_is_named(capsys, tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    agent.node.file(1, "memory.current").write_text("garbled\n")
    path = agent.node.container(1).path
    code, out, err = run(capsys, "status", "--root", agent.node.root, "--cgroup", path)
    assert (code, f"the memory of {path} cannot be read" in err) == (1, True)
    assert "0 containers" in out
    code, out, err = dry_run(capsys, agent, agent.policy_file)
    assert (code, out) == (1, "")
    assert path in err


def test_ctrl_c_is_no_traceback(capsys, tmp_path, monkeypatch):
    agent = AgentOn(tmp_path, containers=1)

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("plimsoll_nodeagent.tools.time.sleep", stop)
    code, _, err = dry_run(capsys, agent, agent.policy_file)
    assert (code, err) == (130, "plimsoll-agent: stopped\n")


def test_output_that_cannot_be_written_is_one_sentence(tmp_path):
    agent = AgentOn(tmp_path, containers=1)
    (tmp_path / "closed").write_text("")
    command = [sys.executable, "-m", "plimsoll_nodeagent.main", "status", "--root", str(agent.node.root)]
    with (tmp_path / "closed").open("rb") as unwritable:
        said = subprocess.run(command, stdout=unwritable, stderr=subprocess.PIPE, text=True, check=False)
    last = said.stderr.splitlines()[-1]
    assert (said.returncode, last) == (2, "plimsoll-agent: cannot write the output: Bad file descriptor")
    assert "Traceback" not in said.stderr


def test_a_tool_in_the_agents_container_looks_where_its_environment_says(tmp_path):
    """As `kubectl exec` runs it there: without a flag."""
    where = {"PLIMSOLL_AGENT_CGROUP_ROOT": "/host/cgroup", "PLIMSOLL_AGENT_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "plimsoll_nodeagent.main"]

    def said(*words: str) -> str:
        done = subprocess.run([*command, *words], env=where, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert "/host/cgroup" in said("status", "--root", str(tmp_path))
    assert str(tmp_path / "agent.sock") in said("set-policy", "by-policy")
