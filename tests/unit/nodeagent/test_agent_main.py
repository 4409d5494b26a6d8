"""The console script, as people and kubelets start it: a process of its own on a fixture tree."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from builders.cgroup_tree import MIB, SYSTEMD, CgroupTree, Memory, container_id, uid
from builders.waiting import wait_for
from plimsoll_nodeagent.act.journal import Journal, Record, alone
from plimsoll_nodeagent.assemble import policy_source
from plimsoll_nodeagent.control.told_policies import ToldPolicies
from plimsoll_nodeagent.main import CANNOT_WATCH, main, parser, seconds
from plimsoll_nodeagent.status import size

COMMAND = [sys.executable, "-m", "plimsoll_nodeagent.main"]


def written(root: Path) -> dict[str, tuple[int, int]]:
    return {str(each): (each.stat().st_mtime_ns, each.stat().st_size) for each in root.rglob("*")}


def test_it_serves_until_sigterm_and_writes_nothing(tmp_path):
    tree = CgroupTree(tmp_path, SYSTEMD)
    tree.container()
    before = written(tmp_path)
    arguments = [
        "run",
        "--root",
        str(tmp_path),
        "--address",
        "127.0.0.1",
        "--port",
        "0",
        "--interval",
        "50ms",
    ]
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [json.loads(process.stderr.readline())]
            url = f"http://127.0.0.1:{lines[0]['port']}"
            wait_for(lambda: httpx.get(f"{url}/healthz").json()["status"] == "ok", "the first tick")
            assert container_id(1) in httpx.get(f"{url}/metrics").text
            tree.container(2, pod=2)
            wait_for(lambda: container_id(2) in httpx.get(f"{url}/metrics").text, "the second container")
        finally:
            process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(timeout=10) == 0
    lines += [json.loads(line) for line in rest.splitlines()]
    assert [lines[0]["message"], lines[-1]["message"]] == ["watching", "ended"]
    after = written(tmp_path)
    assert all(after[path] == stamp for path, stamp in before.items() if Path(path).is_file())


def test_the_agent_asks_for_no_write(tmp_path):
    """Seen from outside: every file that it opens, it opens for reading."""
    tree = CgroupTree(tmp_path)
    tree.container()
    opened = (
        "import os, sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).startswith(sys.argv[-1]):\n"
        "        flags = arguments[2]\n"
        "        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), arguments\n"
        "    assert event not in {'os.remove', 'os.rename', 'os.mkdir', 'os.rmdir', 'os.truncate'}, event\n"
        "from plimsoll_nodeagent.main import main\n"
        "sys.addaudithook(hook)\n"
        "raise SystemExit(main(['status', '--root', sys.argv[-1]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", opened, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert container_id(1)[:13] in done.stdout


def test_the_table_says_what_containers_may_swap(tmp_path, capsys):
    tree = CgroupTree(tmp_path)
    for number, most in ((1, "0"), (2, str(16 * MIB)), (3, "max")):
        tree.container(number, pod=number, memory=Memory(extra={"memory.swap.max": f"{most}\n"}))
    assert main(["status", "--root", str(tmp_path)]) == 0
    (line,) = (each for each in capsys.readouterr().out.splitlines() if "LimitedSwap" in each)
    assert line.startswith("limit of this node: LimitedSwap: 1 of 3 containers may not swap, 1 of 3 may")
    assert main(["status", "--root", str(tmp_path), "-o", "json"]) == 0
    limits = json.loads(capsys.readouterr().out)["capabilities"]["limits"]
    assert any(each.startswith("LimitedSwap: ") for each in limits)


@pytest.mark.parametrize("command", ["run", "status"])
def test_a_host_with_cgroup_v1_gets_one_sentence_and_exit_code_2(tmp_path, command, capfd):
    CgroupTree.write(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    done = subprocess.run(
        [*COMMAND, command, "--root", str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "This host uses cgroup v1" in done.stderr


def test_who_starts_beside_a_living_agent_undoes_nothing_of_it(tmp_path, capfd):
    """It had given the first one's kdamonds back and emptied its journal before it found the port taken."""
    CgroupTree(tmp_path / "node")
    state = tmp_path / "state"
    options = ["run", "--mode", "act", "--root", str(tmp_path / "node"), "--port", "0"]
    with alone(state):
        Journal(state / "journal").put(Record("other", "of a living agent", "b007", {}, "", ("1",)))
        assert main([*options, "--state-dir", str(state)]) == CANNOT_WATCH
        assert Journal(state / "journal").names() == ["other"]
    assert f"another agent acts with the state directory {state}" in capfd.readouterr().err


def test_a_state_directory_that_cannot_be_locked_is_named(tmp_path, monkeypatch, capfd):
    """Where the container's seccomp profile lacks flock, the kernel's answer alone named nothing."""

    def lacking(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("plimsoll_nodeagent.act.journal.fcntl.flock", lacking)
    CgroupTree(tmp_path / "node")
    options = ["run", "--mode", "act", "--root", str(tmp_path / "node"), "--port", "0"]
    assert main([*options, "--state-dir", str(tmp_path / "state")]) == CANNOT_WATCH
    said = json.loads(capfd.readouterr().err)["message"]
    assert said == f"the state directory {tmp_path / 'state'} cannot be locked: Function not implemented"


def test_a_port_that_is_taken_is_named(tmp_path):
    CgroupTree(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = ["run", "--root", str(tmp_path), "--address", "127.0.0.1", "--port", port]
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"port {port}" in json.loads(done.stderr)["message"]


def test_the_table_shows_the_hungriest_first(tmp_path, capsys):
    tree = CgroupTree(tmp_path, SYSTEMD)
    tree.container(1, pod=1, memory=Memory(50 * MIB))
    big = Memory(300 * MIB, memory_max=str(512 * MIB), oom_kills=4, avg10=3.25, without=("memory.peak",))
    tree.container(2, pod=2, qos="guaranteed", memory=big)
    assert main(["status", "--root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("POD UID"))
    assert "pods under /sys/fs/cgroup/kubepods.slice (systemd)" in lines
    assert "memory available 1.0Gi of 2.0Gi, swap free 256Mi of 512Mi" in lines
    assert lines[head + 1].split() == [
        uid(2), container_id(2)[:13], "guaranteed", "300Mi", "225Mi", "-", "512Mi", "8.0Ki", "3.25%", "4"
    ]  # fmt: skip
    assert lines[head + 2].startswith(uid(1))
    assert len({len(line) for line in lines[head + 1 :]}) == 1


def test_the_same_as_json(tmp_path, capsys):
    CgroupTree(tmp_path).container()
    assert main(["status", "--root", str(tmp_path), "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    [sample] = document["samples"]
    assert (sample["usage_bytes"], sample["memory_max_bytes"]) == (64 * MIB, "max")
    assert sample["cgroup"].endswith(container_id(1))


def test_a_node_without_pods_says_so(tmp_path, capsys):
    CgroupTree.write(tmp_path / "sys/fs/cgroup/cgroup.controllers", "memory\n")
    assert main(["status", "--root", str(tmp_path)]) == 2
    assert "has the memory controller" in capsys.readouterr().err
    CgroupTree.write(tmp_path / "sys/fs/cgroup/system.slice/memory.current", "4096\n")
    assert main(["status", "--root", str(tmp_path)]) == 0
    assert "no kubepods cgroup" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "value"), [("10s", 10.0), ("500ms", 0.5), ("1m", 60.0), ("2.5", 2.5)])
def test_durations(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    "wrong",
    [
        ["--interval", "0s"],
        ["--interval", "ten"],
        ["--most-containers", "0"],
        ["--port", "x"],
        ["--looks-cpu", "0"],
        ["--looks-cpu", "1.5"],
        ["--looks-cpu", "nan"],
        ["--looks-cpu", "some"],
    ],
)
def test_flags_that_make_no_sense_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--policies-from-operator"], "--policies-from-operator needs --operator-address"),
        (["--policies-from-cluster"], "--policies-from-cluster needs --kube-node"),
        (
            ["--policies-from-operator", "--policies-from-cluster"],
            "--policies-from-cluster and --policies-from-operator exclude each other",
        ),
        (
            ["--policies-from-operator", "--policy-file=p.json"],
            "--policy-file and --policies-from-operator exclude each other",
        ),
    ],
    ids=str,
)
def test_policies_come_from_one_place_that_is_there(flags, why):
    with pytest.raises(ValueError, match=why):
        policy_source(parser().parse_args(["run", *flags]))


def test_policies_that_are_told_need_nobody_but_the_operator():
    told = ["--policies-from-operator", "--operator-address=there:1", "--kube-node=n1"]
    assert isinstance(policy_source(parser().parse_args(["run", *told])), ToldPolicies)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (float("inf"), "max"), (0, "0B"), (1023, "1023B"), (1536, "1.5Ki"), (3 << 40, "3.0Ti")],
)
def test_sizes(value, text):
    assert size(value) == text
