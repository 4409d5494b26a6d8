"""kind/kind.sh makes a cluster, and brings one up again that is down or whose kubeconfig is lost.

In: the real script, stand-ins for docker and kind that remember what is asked, one for kubectl that says of a
node what the test has written. Nothing is built and no cluster is made.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders.shown.cluster import ROOT, SHOWN

NAME = "shown"
NODES = [f"{NAME}-{each}" for each in ("control-plane", "worker", "worker2")]
LONG_AGO = "2020-01-01T00:00:00Z"
# The first look at a node finds what its kubelet said last; by the second it has spoken again, or never does.
KUBECTL = """
case "$*" in
  *"get --raw /version"*) echo '{"minor": "37"}' ;;
  *"get node "*)
    name=$(echo "$*" | sed 's/.*get node \\([^ ]*\\) .*/\\1/'); echo "$name" >>"$LOOKS"
    if [ "$(grep -cx "$name" "$LOOKS")" = 1 ]; then echo "$FIRST"; else date -u "+$LATER"; fi ;;
  *) echo "kubectl $*: not played" >&2; exit 1 ;;
esac
"""


class Kind:
    """kind.sh with its stand-ins, started from a directory that is not the checkout."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tools = directory / "bin"
        self.tools.mkdir()
        bash = shutil.which("bash")
        for name in ("docker", "podman", "kind"):
            call = f'exec "{sys.executable}" {SHOWN / "container_tools.py"} {name} "$@"'
            self.tool(name, f"#!{bash}\n{call}\n")
        self.tool("kubectl", f"#!{bash}\n{KUBECTL}")
        self.tool("sleep", f"#!{bash}\n")
        self.state = directory / "tools.json"
        self.looks = directory / "looks"
        self.kubeconfig = directory / "state/plimsoll" / NAME / "kubeconfig"
        (directory / "of-kind").write_text("what kind knows")

    def tool(self, name: str, text: str) -> None:
        (self.tools / name).write_text(text)
        (self.tools / name).chmod(0o755)

    def up(
        self,
        first: str = f"True {LONG_AGO}",
        later: str = "True %FT%TZ",
        wait: str = "5m",
        tool: str = "docker",
        **more: str,
    ) -> subprocess.CompletedProcess[str]:
        """`kind.sh up TOOL`; a node is `first` at the first look, then `later` (a format of `date`)."""
        self.looks.write_text("")
        return self.run("kind.sh", "up", tool, FIRST=first, LATER=later, PLIMSOLL_KIND_WAIT=wait, **more)

    def run(self, script: str, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
        """A script of kind/, with the stand-ins."""
        ours = ("PLIMSOLL_", "KIND_")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        environment |= {
            "PATH": os.pathsep.join([str(self.tools), os.environ["PATH"]]),
            "HOME": str(self.directory),
            "XDG_STATE_HOME": str(self.directory / "state"),
            "PLIMSOLL_CLUSTER_NAME": NAME,
            "PLIMSOLL_SHOWN_STATE": str(self.state),
            "PLIMSOLL_SHOWN_CLUSTER": str(self.directory / "of-kind"),
            "LOOKS": str(self.looks),
            **given,
        }
        return subprocess.run(
            [str(ROOT / "kind" / script), *arguments],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def cluster(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.state.read_text())["clusters"][NAME]
        return made

    def stop(self, *nodes: str) -> None:
        """As the computer's restart does."""
        state = json.loads(self.state.read_text())
        for each in nodes:
            state["clusters"][NAME]["nodes"][each]["running"] = False
        self.state.write_text(json.dumps(state))


@pytest.fixture
def kind(tmp_path: Path) -> Kind:
    """A cluster that was made and is up."""
    made = Kind(tmp_path)
    done = made.up()
    assert done.returncode == 0, done.stderr
    return made


def test_mounts_are_those_of_the_checkout_wherever_it_is_started(kind: Kind):
    mounts = {name: each["mounts"] for name, each in kind.cluster["nodes"].items()}
    assert mounts == {
        NODES[0]: {},
        NODES[1]: {"/kind/patches": str(ROOT / "kind/patches/static")},
        NODES[2]: {"/kind/patches": str(ROOT / "kind/patches/swap")},
    }
    described = json.loads(kind.kubeconfig.with_name("cluster.json").read_text())
    assert described["nodes"] == NODES[1:]


def test_stopped_nodes_are_started_and_waited_for(kind: Kind):
    loaded = len(kind.cluster["images"])
    kind.stop(*NODES)
    done = kind.up()
    assert done.returncode == 0, done.stderr
    assert all(each["running"] for each in kind.cluster["nodes"].values())
    # What they said before they were stopped counts for nothing.
    assert {name: kind.looks.read_text().split().count(name) for name in NODES} == dict.fromkeys(NODES, 2)
    assert len(kind.cluster["images"]) == 2 * loaded


def test_a_state_of_the_managers_from_before_the_computers_boot_is_forgotten(kind: Kind):
    kind.stop(NODES[2])
    kind.up()
    for each in kind.cluster["nodes"].values():
        (told,) = each["told"]
        assert "_manager_state" in told[-1]
        assert "btime" in told[-1]


def test_nodes_that_run_are_left_alone_and_believed(kind: Kind):
    kind.stop(NODES[1])
    assert kind.up().returncode == 0
    looks = kind.looks.read_text().split()
    assert {name: looks.count(name) for name in NODES} == {NODES[0]: 1, NODES[1]: 2, NODES[2]: 1}


def test_a_lost_kubeconfig_is_written_anew(kind: Kind):
    kind.kubeconfig.unlink()
    done = kind.up()
    assert done.returncode == 0, done.stderr
    assert kind.kubeconfig.read_text() == "what kind knows"


def test_a_node_that_does_not_come_back_is_named(kind: Kind):
    kind.stop(*NODES)
    done = kind.up(later=f"False {LONG_AGO}", wait="0s")
    assert done.returncode == 1
    assert f"{NODES[0]} is not Ready after 0s" in done.stderr
    assert "kind/down.sh" in done.stderr


@pytest.mark.parametrize("known", ["tool", "cluster.json", ""])
def test_a_cluster_of_podmans_is_taken_down_where_docker_is_there_too(tmp_path: Path, known: str):
    """By what `up` wrote first or, before it wrote that, last; docker here has a client and no daemon."""
    made = Kind(tmp_path)
    assert made.up(tool="podman").returncode == 0
    assert made.cluster["tool"] == "podman"
    for name in {"tool", "cluster.json"} - {known}:
        made.kubeconfig.with_name(name).unlink()
    made.tool("docker", f"#!{shutil.which('bash')}\nexit 1\n")
    done = made.run("down.sh")
    assert done.returncode == 0, done.stderr
    assert json.loads(made.state.read_text())["clusters"] == {}
    assert not made.kubeconfig.parent.exists()


def test_the_workers_image_is_built_and_loaded_only_when_it_is_asked_for(kind: Kind):
    described = kind.kubeconfig.with_name("cluster.json")
    assert set(json.loads(described.read_text())["images"]) == {"operator", "agent"}
    assert "worker" not in json.loads(kind.run("values.sh").stdout)
    assert not any("/worker:" in each for each in json.loads(kind.state.read_text())["built"])
    done = kind.up(PLIMSOLL_WORKER="1")
    assert done.returncode == 0, done.stderr
    images = json.loads(described.read_text())["images"]
    assert images["worker"].startswith("localhost/plimsoll/worker:")
    assert images["worker"].rpartition(":")[2] == images["operator"].rpartition(":")[2]
    assert f"docker {images['worker']}" in json.loads(kind.state.read_text())["built"]
    assert images["worker"] in kind.cluster["images"]
    shown = json.loads(kind.run("values.sh").stdout)
    assert shown["worker"]["image"]["tag"] == shown["operator"]["image"]["tag"]
    assert shown["worker"].keys() == {"image"}, "whether there are workers is for who installs to say"
