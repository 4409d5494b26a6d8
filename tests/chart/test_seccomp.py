"""The agent's seccomp profile, loaded into the kernel: the agent works under it, other calls fail."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import helm_python
import httpx
import pytest

from builders.apiserver import Child, free_port
from builders.chart import CHART, NAMESPACE, RELEASE, Rendered, render
from plimsoll_nodeagent.kernelfs import calls

PROFILE = CHART / "files" / "agent-seccomp.json"
PROFILE_TO_ACT = CHART / "files" / "agent-act-seccomp.json"


def node(directory: Path) -> Path:
    """A node's cgroup v2 tree with one container, as files."""
    pods = directory / "kubepods"
    container = pods / "burstable" / "pod3f1c7a52-0000-4000-8000-000000000001" / ("a" * 64)
    container.mkdir(parents=True)
    (directory / "cgroup.controllers").write_text("cpu memory pids\n")
    for cgroup in (pods, container):
        (cgroup / "memory.current").write_text("104857600\n")
        (cgroup / "memory.max").write_text("max\n")
        (cgroup / "memory.stat").write_text("anon 52428800\nfile 52428800\ninactive_file 10485760\n")
        (cgroup / "memory.events").write_text("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n")
    return directory


def under(profile: Path) -> list[str]:
    """What starts a command under a profile."""
    return [sys.executable, str(Path(__file__).parents[1] / "builders" / "seccomp.py"), str(profile)]


def acting(directory: Path) -> list[str]:
    """What the chart adds where the agent may act; nothing is written, since the node is a directory."""
    return ["--mode=act", f"--state-dir={directory}", f"--socket={directory / 'agent.sock'}"]


@pytest.mark.parametrize(("profile", "acts"), [(PROFILE, False), (PROFILE_TO_ACT, True)])
def test_the_agent_works_and_serves_under_it(profile: Path, acts: bool, tmp_path: Path):
    port = free_port()
    agent = Path(sys.executable).with_name("plimsoll-agent")
    command = [
        str(agent),
        "run",
        "--address=127.0.0.1",
        f"--port={port}",
        f"--cgroup-root={node(tmp_path / 'cgroup')}",
        *(acting(tmp_path / "state") if acts else []),
    ]
    child = Child("agent", [*under(profile), *command], tmp_path / "agent.log")
    child.start()
    try:
        child.wait_until(lambda: _answers(port))
        status = Path(f"/proc/{child.pid}/status").read_text()
        assert "Seccomp:\t2" in status, "no filter is on"
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        (usage,) = (
            line for line in metrics.splitlines() if line.startswith("plimsoll_container_usage_bytes{")
        )
        assert float(usage.rpartition(" ")[2]) == 104857600
        assert "Traceback" not in child.tail()
        if acts:
            assert (tmp_path / "state" / "agent.sock").stat().st_mode & 0o777 == 0o600
            second = subprocess.run(
                [*under(profile), *command], capture_output=True, text=True, check=False, timeout=60
            )
            assert second.returncode != 0
            assert "another agent acts with the state directory" in second.stderr
    finally:
        child.stop()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    "attempt",
    [
        "libc.mount(b'none', b'/mnt', b'tmpfs', 0, None)",
        "libc.unshare(0)",
        "libc.ptrace(0, 0, 0, 0)",
        "libc.setns(0, 0)",
        "libc.chmod(b'/', 0o755)",
        "libc.unlink(b'/nothing')",
        "libc.socket(17, 3, 0)",
        "libc.personality(0xffffffff)",
    ],
)
def test_what_an_agent_never_does_fails(attempt: str):
    script = f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); print({attempt}, ctypes.get_errno())"
    done = subprocess.run(
        [*under(PROFILE), sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    enosys = json.loads(PROFILE.read_text())["defaultErrnoRet"]
    assert done.stdout.split() == ["-1", str(enosys)]


def test_the_installer_writes_it_whole(tmp_path: Path):
    script = CHART / "files" / "install_seccomp.py"
    target = tmp_path / "seccomp" / "plimsoll" / "agent.json"
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", script.read_text(), str(PROFILE), str(target)], check=True, timeout=60
        )
    assert target.read_text() == PROFILE.read_text()
    assert [each.name for each in target.parent.iterdir()] == ["agent.json"]


def test_the_installer_puts_no_broken_profile_there(tmp_path: Path):
    script = CHART / "files" / "install_seccomp.py"
    broken = tmp_path / "broken.json"
    broken.write_text('{"defaultAction":')
    arguments = [sys.executable, "-c", script.read_text(), str(broken), str(tmp_path / "agent.json")]
    done = subprocess.run(arguments, capture_output=True, check=False, timeout=60)
    assert done.returncode != 0
    assert not (tmp_path / "agent.json").exists()


def test_an_agent_that_acts_may_make_a_few_calls_more_and_no_others():
    acting = json.loads((CHART / "files" / "agent-act-seccomp.json").read_text())
    watching = json.loads(PROFILE.read_text())
    more = [each for each in acting["syscalls"] if each not in watching["syscalls"]]
    assert {name for each in more for name in each["names"]} == {
        *(
            "flock",
            "fsync",
            "mkdir",
            "mkdirat",
            "rename",
            "renameat",
            "renameat2",
            "unlink",
            "unlinkat",
        ),  # the journal
        *("pidfd_open", *calls._NUMBERS["x86_64"]),  # what the kernel is asked for by number
        "pwrite64",  # idle bits
        "socketpair",  # an event loop's own
    }
    kept = {**acting, "syscalls": [each for each in acting["syscalls"] if each not in more]}
    assert kept == watching


def test_advice_is_given_and_the_journal_is_kept_under_the_acting_profile(tmp_path: Path):
    profile = CHART / "files" / "agent-act-seccomp.json"
    script = f"""
from pathlib import Path
from plimsoll_nodeagent.act.journal import Journal, Record
from plimsoll_nodeagent.kernelfs import KernelFs
journal = Journal(Path({str(tmp_path)!r}) / "state")
journal.put(Record("a", "k", "b", {{}}, "0", ("1",)))
journal.drop("a")
print(KernelFs().advice_missing() or "advises", journal.names())
"""
    command = [*under(PROFILE)[:2], str(profile), sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "advises []\n", done.stderr


def named(rendered: Rendered) -> str:
    """The file below the kubelet's seccomp directory that the agent's container asks for."""
    (agent,) = rendered.one("DaemonSet")["spec"]["template"]["spec"]["containers"]
    return str(agent["securityContext"]["seccompProfile"]["localhostProfile"])


@pytest.mark.parametrize(("profile", "acts"), [(PROFILE, False), (PROFILE_TO_ACT, True)])
def test_its_name_has_a_hash_of_what_is_in_it(profile: Path, acts: bool):
    rendered = render({"agent": {"act": {"enabled": acts}}})
    digest = hashlib.sha256(profile.read_bytes()).hexdigest()[:10]
    assert named(rendered) == f"plimsoll/agent-{digest}.json"
    (installer,) = rendered.one("DaemonSet")["spec"]["template"]["spec"]["initContainers"]
    assert installer["args"][-1] == f"/seccomp/agent-{digest}.json"
    held = rendered.one("ConfigMap", "-seccomp")["data"]["agent-seccomp.json"]
    assert json.loads(held) == json.loads(profile.read_text())


def test_other_contents_of_the_same_version_have_another_name_in_the_same_directory(tmp_path: Path):
    chart = shutil.copytree(CHART, tmp_path / "plimsoll")
    profile = chart / "files" / PROFILE.name
    profile.write_text(profile.read_text().replace('"readv", ', ""))
    with helm_python.Chart.load(chart) as loaded:
        other = Rendered(loaded.render({}, name=RELEASE, namespace=NAMESPACE))
    names = {named(other), named(render()), named(render({"agent": {"act": {"enabled": True}}}))}
    assert len(names) == 3
    # What docs/uninstall.md tells to look for.
    assert {Path(each).parent for each in names} == {Path("plimsoll")}
    assert all(Path(each).match("agent-*.json") for each in names)
