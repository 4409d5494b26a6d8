"""A container of a cluster, recorded by its node's agent: which one, by which words, and what comes home."""

import base64
import json
import subprocess

import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.pages.recording import Axis, Recording
from plimsoll_nodeagent.main import parser
from plimsoll_nodeagent.show.files import load, save

bench = bench_modules(record="record_container").record
IDENTITY = "ab" * 32
CGROUP = f"/host/cgroup/kubepods/pod1/{IDENTITY}"


class Cluster:
    """One pod of two containers, and the agent of its node, which has one file."""

    def __init__(self, directory, agents=1, sees=True, records=True):
        self.path, self.agents, self.sees, self.records = directory / "there.npz", agents, sees, records
        self.files, self.asked = {}, []

    def __call__(self, words):
        self.asked.append(list(words))
        if "--" not in words:
            return json.dumps(self._got(words))
        assert words[: words.index("--")] == ["-n", "plimsoll-node", "exec", "agent-x", "-c", "agent"]
        program, *rest = words[words.index("--") + 1 :]
        if program == "plimsoll-agent":
            return self._agent(rest)
        assert program == "python3"
        if "unlink" in rest[1]:
            self.files.pop(rest[2], None)
            return ""
        return base64.b64encode(self.files[rest[2]]).decode() + "\n"

    def _got(self, words):
        if "pods" in words:
            assert words[-3:-2] == ["spec.nodeName=node-b"]
            pod = {"metadata": {"name": "agent-x", "namespace": "plimsoll-node"}}
            return {"items": [pod] * self.agents}
        assert words[:5] == ["-n", "shop", "get", "pod", "web-1"]
        statuses = [{"name": "app", "containerID": f"containerd://{IDENTITY}"}, {"name": "late"}]
        spec = {"nodeName": "node-b", "containers": [{"name": "app"}, {"name": "late"}]}
        return {"spec": spec, "status": {"containerStatuses": statuses}}

    def _agent(self, words):
        options = parser().parse_args(words)  # its real flags
        if words[0] == "status":
            row = {"container_id": IDENTITY, "cgroup": CGROUP}
            return json.dumps({"samples": [row] * self.sees})
        assert (options.cgroup, options.mode, options.for_seconds, options.every) == (
            [CGROUP], "act", 120.0, 1.0,
        )  # fmt: skip
        if not self.records:
            raise subprocess.CalledProcessError(1, words)
        flat = np.full(8, 4e6)
        made = Recording(Axis.ADDRESS, np.arange(1.0, 9), np.arange(5) * 1e6, np.ones((8, 4), np.float32),
                         flat, flat, flat, IDENTITY)  # fmt: skip
        save(made, self.path)
        self.files[str(options.output)] = self.path.read_bytes()
        return ""


def run(cluster, output, *words):
    return bench.main(
        ["shop/web-1", "--for", "2m", "--every", "1s", "--output", str(output), *words], cluster
    )


def test_a_container_is_recorded_by_its_nodes_agent_and_drawn_under_its_name(tmp_path, capsys):
    cluster, output = Cluster(tmp_path), tmp_path / "home/web"
    assert run(cluster, output) == 0
    assert load(output.with_suffix(".npz")).name == "shop/web-1/app"
    assert "shop/web-1/app" in output.with_suffix(".svg").read_text()
    assert "working set" in output.with_suffix(".html").read_text()
    said = capsys.readouterr().out
    assert said.startswith("shop/web-1/app on node-b: 8 looks by address\n")
    assert cluster.files == {}  # nothing is left on the node


@pytest.mark.parametrize(
    ("of", "words", "why"),
    [
        ({"agents": 0}, (), "no agent runs on node-b"),
        ({"sees": False}, (), "the agent on node-b does not see shop/web-1/app"),
        ({}, ("--container", "late"), "shop/web-1 has no running container late"),
        ({"records": False}, (), "returned non-zero exit status 1"),
    ],
)
def test_what_is_not_there_is_one_sentence_and_leaves_nothing(tmp_path, capsys, of, words, why):
    cluster, output = Cluster(tmp_path, **of), tmp_path / "web"
    assert run(cluster, output, *words) == 1
    assert why in capsys.readouterr().err
    assert not output.with_suffix(".npz").exists()
    if not cluster.records:
        assert "unlink" in cluster.asked[-1][-2]
