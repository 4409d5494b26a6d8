"""The builder of binaries says what is wrong in one sentence, and leaves nothing half done.

In: the script itself, with a PATH of the tools it may find. Nothing is built here: `make apiserver` does.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "kind" / "vm" / "build-binaries.sh"
TOOLS = (
    *("bash", "cat", "cp", "cut", "date", "dirname", "env", "flock", "head", "install", "ls", "mkdir"),
    *("mktemp", "mv", "rm", "sed", "sha256sum", "sort", "tail", "tr"),
)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A directory with everything the script needs but Go."""
    found = tmp_path / "tools"
    found.mkdir()
    for name in TOOLS:
        if path := shutil.which(name):
            (found / name).symlink_to(path)
    return found


def run(tools: Path, *targets: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": str(tools), "HOME": str(tools.parent), **environment}
    bash = shutil.which("bash") or "bash"
    return subprocess.run(
        [bash, str(SCRIPT), *targets], env=variables, capture_output=True, text=True, timeout=60, check=False
    )


def go(tools: Path, script: str) -> None:
    """Put a `go` into the PATH that does what `script` says."""
    (tools / "go").write_text(f"#!{shutil.which('bash')}\n{script}\n")
    (tools / "go").chmod(0o755)


def left_behind(tools: Path) -> list[str]:
    """What lies in the cache beside the lock."""
    cache = tools.parent / ".cache" / "plimsoll" / "bin"
    return [each.name for each in cache.iterdir() if each.name != ".lock"]


def test_names_the_targets_there_are(tools: Path):
    for arguments in ((), ("kube-api",)):
        refused = run(tools, *arguments)
        assert refused.returncode == 1
        assert {"apiserver", "etcd", "vpa-recommender"} <= set(re.findall(r"[\w-]+", refused.stderr))


def test_says_that_go_is_missing(tools: Path):
    refused = run(tools, "etcd")
    assert (refused.returncode, left_behind(tools)) == (1, [])
    assert "Go is not installed" in refused.stderr


def test_says_that_go_is_too_old(tools: Path):
    go(tools, 'if [ "$1" = env ]; then echo go1.22.3; else exit 1; fi')
    refused = run(tools, "etcd")
    assert (refused.returncode, left_behind(tools)) == (1, [])
    assert "Go 1.22.3 is too old" in refused.stderr


def test_says_that_modules_could_not_be_downloaded(tools: Path):
    go(tools, 'if [ "$1" = env ]; then echo go1.26.8; else echo "dial tcp: no route to host" >&2; exit 1; fi')
    refused = run(tools, "etcd")
    assert (refused.returncode, left_behind(tools)) == (1, [])
    assert "no route to host" in refused.stderr
    assert "could not download the Go modules of gomod/etcd" in refused.stderr


def test_a_failed_build_keeps_the_binary_that_was_there(tools: Path):
    cache = tools.parent / ".cache" / "plimsoll" / "bin"
    cache.mkdir(parents=True)
    (cache / "etcd").write_text("old")
    (cache / "etcd").chmod(0o755)
    go(tools, 'case $1 in env) echo go1.26.8 ;; list) ;; *) echo "does not compile" >&2; exit 1 ;; esac')
    refused = run(tools, "etcd")
    assert refused.returncode == 1
    assert "go build" in refused.stderr
    assert (left_behind(tools), (cache / "etcd").read_text()) == (["etcd"], "old")


def test_what_was_built_is_kept_until_the_pinned_modules_change(tools: Path):
    go(
        tools,
        'case $1 in env) echo go1.26.8 ;; list) ;; build) while [ "$1" != -o ]; do shift; done; '
        'echo built >"$2"; echo $RANDOM >>"$2"; /bin/chmod 755 "$2" ;; esac',
    )
    cache = tools.parent / "elsewhere"
    first = run(tools, "etcd", PLIMSOLL_CACHE=str(cache))
    assert first.returncode == 0, first.stderr
    built = (cache / "bin" / "etcd").read_text()
    again = run(tools, "etcd", PLIMSOLL_CACHE=str(cache))
    assert "cached" in again.stderr
    (cache / "bin" / ".etcd.stamp").write_text("of other modules\n")
    renewed = run(tools, "etcd", PLIMSOLL_CACHE=str(cache))
    assert "cached" not in renewed.stderr
    assert (cache / "bin" / "etcd").read_text() != built
