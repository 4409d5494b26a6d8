"""One cluster for the run, one namespace a test, and what is needed to understand a failure.

The cluster comes from `kind/up.sh`. One that was up before stays up; one that these tests brought up is taken
down at the end, unless PLIMSOLL_KEEP_CLUSTER is set. Artifacts of failed tests go to build/e2e, or where
PLIMSOLL_ARTIFACTS says.
"""

import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.e2e.artifacts import save_artifacts
from builders.e2e.cluster import REPOSITORY, Cluster, cluster_down, cluster_up, state_directory
from builders.e2e.prometheus import Prometheus
from builders.e2e.release import Release, cluster_values

STARTED = time.monotonic()
FAILED = pytest.StashKey[bool]()
TIMES = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def cluster(request) -> Iterator[Cluster]:
    began, was_up = time.monotonic(), (state_directory() / "cluster.json").exists()
    cluster = cluster_up()
    request.config.stash[TIMES] = {"cluster up": time.monotonic() - began}
    yield cluster
    if not was_up and not os.environ.get("PLIMSOLL_KEEP_CLUSTER"):
        cluster_down()


@pytest.fixture(scope="session")
def prometheus(cluster: Cluster, tmp_path_factory) -> Iterator[Prometheus]:
    prometheus = Prometheus(cluster, tmp_path_factory.mktemp("prometheus"))
    prometheus.start()
    yield prometheus
    prometheus.stop()


@pytest.fixture(scope="session")
def release(cluster: Cluster, prometheus: Prometheus, request) -> Release:
    began = time.monotonic()
    release = Release(cluster)
    release.install_or_upgrade(cluster_values(cluster, prometheus.url))
    request.config.stash[TIMES]["release Ready"] = time.monotonic() - began
    return release


@pytest.fixture
def namespace(cluster: Cluster, request) -> Iterator[str]:
    name = (
        f"e2e-{re.sub('[^a-z0-9]+', '-', request.node.name.lower())[:40].strip('-')}-{secrets.token_hex(2)}"
    )
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"plimsoll-e2e": "yes"}},
        }
    )
    yield name
    if request.node.stash.get(FAILED, False):
        save_artifacts(cluster, name, artifacts_directory() / name)
    cluster.kube("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    times = config.stash.get(TIMES, {}) | {"everything": time.monotonic() - STARTED}
    terminalreporter.section("times")
    for name, seconds in times.items():
        terminalreporter.write_line(f"{name:<24}{seconds:8.1f} s")


def artifacts_directory() -> Path:
    return Path(os.environ.get("PLIMSOLL_ARTIFACTS", REPOSITORY / "build/e2e"))
