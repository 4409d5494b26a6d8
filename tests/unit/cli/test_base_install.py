"""A base install: whatever needs an extra says so in one sentence, without a traceback.

The processes are real; of the packages that only extras bring, none can be found in them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plimsoll.install import install_hint
from plimsoll_cli.failure import extra_needed

EXTRAS_BRING = (
    *("aiohttp", "fsspec", "grpc", "kmock", "kopf", "kubernetes", "prometheus_client"),
    *("redis", "zstandard"),
)
BASE = f"""
import sys
from importlib.abc import MetaPathFinder

class Base(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS_BRING}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Base())
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
"""


def on_base_install(module: str, *arguments: str, state: Path | None = None) -> subprocess.CompletedProcess:
    code = f"{BASE}\nfrom {module} import main\nsys.argv[1:] = {list(arguments)}\nmain()\n"
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | ({"XDG_STATE_HOME": str(state)} if state else {}),
    )


def needs(done: subprocess.CompletedProcess, who: str, extra: str) -> bool:
    (sentence,) = done.stderr.splitlines()
    wanted = f"{who} needs the extra `{extra}`: {install_hint(extra)} (there is no module "
    return done.returncode == 1 and not done.stdout and wanted in sentence


@pytest.mark.parametrize("arguments", [[], ["--json", "out.json"], ["--help"]])
def test_the_sandbox_names_its_extra(arguments):
    assert needs(on_base_install("plimsoll_cli.main", "sandbox", *arguments), "plimsoll sandbox", "sandbox")


@pytest.mark.parametrize("arguments", [["learn", "--enable"], ["status", "--redis", "redis://127.0.0.1:1"]])
def test_the_memory_names_its_extra(arguments, tmp_path):
    (tmp_path / "state").mkdir()
    done = on_base_install("plimsoll_cli.main", "memory", *arguments, state=tmp_path / "state")
    assert needs(done, "plimsoll memory", "redis")


@pytest.mark.parametrize("arguments", [["--help"], ["learn", "--help"], ["backup", "--help"]])
def test_help_about_the_memory_is_for_all(arguments):
    done = on_base_install("plimsoll_cli.main", "memory", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    "command",
    [["status"], ["recommend"], ["plan"], ["explain", "web"], ["restore", "web"], ["pause"], ["resume"]],
)
def test_what_talks_to_a_cluster_names_the_operators(command, tmp_path):
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(KUBECONFIG)
    done = on_base_install("plimsoll_cli.main", *command, "--kubeconfig", str(kubeconfig))
    assert needs(done, "talking to a cluster", "operator")


@pytest.mark.parametrize(
    ("module", "who", "extra"),
    [
        ("plimsoll_operator.__main__", "plimsoll-operator", "operator"),
        ("plimsoll_nodeagent.__main__", "plimsoll-agent", "agent"),
    ],
)
def test_the_daemons_name_theirs(module, who, extra):
    assert needs(on_base_install(module, "--help"), who, extra)


def test_what_needs_none_works():
    done = on_base_install("plimsoll_cli.main", "recommend", "--traces", "sample", "-o", "csv")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 100


@pytest.mark.parametrize("name", ["plimsoll_operator.gone", None])
def test_a_module_of_ours_that_is_missing_is_a_fault(name):
    assert extra_needed(ModuleNotFoundError("gone", name=name), "plimsoll sandbox", "sandbox") is None
