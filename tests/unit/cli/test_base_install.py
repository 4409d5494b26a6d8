"""A base install: whatever needs an extra says so in one sentence, without a traceback.

The processes are real; of the packages that only extras bring, none can be found in them.
"""

import subprocess
import sys

import pytest

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


def on_base_install(module: str, *arguments: str) -> subprocess.CompletedProcess:
    code = f"{BASE}\nfrom {module} import main\nsys.argv[1:] = {list(arguments)}\nmain()\n"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def needs(done: subprocess.CompletedProcess, who: str, extra: str) -> bool:
    (sentence,) = done.stderr.splitlines()
    wanted = f"{who} needs the extra `{extra}`: pip install 'plimsoll[{extra}]' (there is no module "
    return done.returncode == 1 and not done.stdout and wanted in sentence


@pytest.mark.parametrize("arguments", [[], ["--json", "out.json"], ["--help"]])
def test_the_sandbox_names_its_extra(arguments):
    assert needs(on_base_install("plimsoll_cli.main", "sandbox", *arguments), "plimsoll sandbox", "sandbox")


def test_the_memory_names_its_extra(tmp_path):
    done = on_base_install("plimsoll_cli.main", "memory", "status", "--store", str(tmp_path / "m.db"))
    assert needs(done, "plimsoll memory", "redis")


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
