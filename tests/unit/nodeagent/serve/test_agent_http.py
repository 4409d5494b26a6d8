import shutil
import socket
from contextlib import contextmanager

import httpx
import pytest

from builders.cgroup_tree import CgroupTree
from plimsoll_nodeagent.kernelfs import KernelFs
from plimsoll_nodeagent.loop import Watch
from plimsoll_nodeagent.serve.exposition import Exposition
from plimsoll_nodeagent.serve.http import MOST_REQUESTS, AgentServer, Health

NOW = 1_700_000_000.0


@contextmanager
def serving(watch: Watch, health: Health | None = None):
    health = health or Health(60.0, lambda: watch.latest)
    exposition = Exposition(lambda: watch.latest, "1.2.3")
    server = AgentServer("127.0.0.1", 0, exposition.text, health)
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
            yield client
    finally:
        server.close()


@pytest.fixture
def watch(tmp_path):
    tree = CgroupTree(tmp_path)
    tree.container()
    return Watch(tree.fs, "/sys/fs/cgroup")


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_metrics_are_served_plain_and_compressed(watch, encoding):
    watch.tick(NOW)
    with serving(watch) as client:
        answer = client.get("/metrics", headers={"Accept-Encoding": encoding})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert answer.headers.get("Content-Encoding", "identity") == encoding
    assert "plimsoll_container_usage_bytes{" in answer.text


def test_health_says_what_was_found(watch, tmp_path):
    (tmp_path / "sys/fs/cgroup/kubepods/memory.peak").unlink()
    watch.tick(NOW)
    with serving(watch) as client:
        said = client.get("/healthz").raise_for_status().json()
    assert (said["status"], said["kernel"], said["containers"]) == ("ok", "7.2.12-test", 1)
    assert [each["what"] for each in said["missing"]] == ["memory.peak"]
    assert said["kubepods"] == [{"path": "/sys/fs/cgroup/kubepods", "driver": "cgroupfs"}]


def test_before_the_first_tick_health_is_starting(watch):
    with serving(watch) as client:
        assert client.get("/healthz").raise_for_status().json()["status"] == "starting"


def test_a_loop_that_is_stuck_is_not_healthy_until_it_beats_again(watch):
    clock = [0.0]
    health = Health(60.0, lambda: watch.latest, monotonic=lambda: clock[0])
    with serving(watch, health) as client:
        clock[0] = 61.0
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()["status"]) == (503, "stuck")
        health.beat()
        assert client.get("/healthz").status_code == 200


def readiness(client: httpx.Client) -> tuple[int, str]:
    answer = client.get("/readyz")
    return answer.status_code, answer.text.strip()


def test_an_agent_is_ready_once_it_sees_the_pods_and_lives_before(tmp_path):
    root = "/sys/fs/cgroup"
    CgroupTree.write(tmp_path / f"{root}/cgroup.controllers".lstrip("/"), "memory\n")
    watch = Watch(KernelFs(tmp_path), root)
    with serving(watch) as client:
        watch.tick(NOW)
        assert readiness(client) == (
            503,
            f"No cgroup with the memory controller was found under {root} yet.",
        )
        CgroupTree.write(tmp_path / "sys/fs/cgroup/system.slice/memory.current", "4096\n")
        watch.tick(NOW)
        status, sentence = readiness(client)
        assert (status, sentence.partition(":")[0]) == (503, f"No kubepods cgroup was found under {root}")
        assert client.get("/healthz").status_code == 200
        CgroupTree(tmp_path).container()
        watch.tick(NOW)
        assert readiness(client) == (200, f"Pods are watched under {root}/kubepods.")
        shutil.rmtree(tmp_path / "sys/fs/cgroup/kubepods")
        watch.tick(NOW)
        assert readiness(client)[0] == 503


def test_a_loop_that_is_stuck_is_not_ready(watch):
    clock = [0.0]
    health = Health(60.0, lambda: watch.latest, monotonic=lambda: clock[0])
    watch.tick(NOW)
    with serving(watch, health) as client:
        assert readiness(client)[0] == 200
        clock[0] = 61.0
        assert readiness(client) == (503, "The loop is stuck: no look has ended for 61.0 s.")


def test_other_paths_say_what_there_is(watch):
    with serving(watch) as client:
        answer = client.get("/")
        assert (answer.status_code, client.post("/metrics").status_code) == (404, 501)
    assert "/metrics" in answer.text
    assert "/readyz" in answer.text


def test_callers_beyond_the_bound_are_turned_away_and_the_rest_is_served(watch):
    with serving(watch) as client:
        address = (client.base_url.host, client.base_url.port)
        idle = [socket.create_connection(address) for _ in range(MOST_REQUESTS)]
        with pytest.raises(httpx.TransportError):
            client.get("/healthz")
        for each in idle:
            each.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert each.recv(12) == b"HTTP/1.0 200"
            each.close()
