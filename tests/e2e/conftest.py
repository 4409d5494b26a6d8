"""One cluster for the run, one namespace a test, and what is needed to understand a failure.

The cluster comes from `kind/up.sh`. One that was up before stays up; one that these tests brought up is
taken down at the end, unless PLIMSOLL_KEEP_CLUSTER is set. Tests without the marker `disruptive` may run
beside each other (`-n 3`); the run's workers share the release and the Prometheus. Artifacts of failed tests
go to build/e2e, or where PLIMSOLL_ARTIFACTS says.
"""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.e2e.artifacts import save_artifacts
from builders.e2e.cluster import (
    REPOSITORY,
    Cluster,
    cluster_down,
    cluster_up,
    found_cluster,
    state_directory,
)
from builders.e2e.evidence import saved_by
from builders.e2e.failures import Failures, mark
from builders.e2e.figures import noted
from builders.e2e.prometheus import Past, Prometheus, stop_prometheus
from builders.e2e.release import NAMESPACE, Release, cluster_values
from builders.e2e.session import RUN, bring_release, give_back, noted_times, once, run_directory
from builders.e2e.workloads import CONTAINER

STARTED = time.monotonic()
SAVED = pytest.StashKey[bool]()
BROUGHT_UP = "brought-up"


def pytest_configure(config: pytest.Config) -> None:
    if not is_worker(config):
        if path := os.environ.get("PLIMSOLL_E2E_FAILED"):
            config.pluginmanager.register(Failures(Path(path)))
        os.environ[RUN] = secrets.token_hex(3)


def pytest_unconfigure(config: pytest.Config) -> None:
    if is_worker(config) or RUN not in os.environ or not run_directory().exists():
        return
    stop_prometheus(run_directory() / "prometheus")
    if (state_directory() / "cluster.json").exists():
        give_back(found_cluster())
    if path := os.environ.get("PLIMSOLL_E2E_FIGURES"):
        Path(path).write_text("".join(f"{each}\n" for each in noted()))
    brought_up = (run_directory() / BROUGHT_UP).exists()
    shutil.rmtree(run_directory())
    if brought_up and not os.environ.get("PLIMSOLL_KEEP_CLUSTER"):
        cluster_down()


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    once("cluster up", bring_up)
    return found_cluster()


@pytest.fixture(scope="session")
def prometheus_url(cluster: Cluster, request) -> str:
    """A Prometheus that knows the pasts of all tests of this run: those that their markers `past` tell.

    Where no such test runs, or pods reach no address of ours, none is started (""): then those tests fail,
    and the others do not.
    """
    pasts = pasts_of(request.session.items)
    if not pasts or not cluster.host_address():
        return ""
    prometheus = Prometheus(cluster, run_directory() / "prometheus")
    once("Prometheus up", lambda: prometheus.start(pasts))
    return prometheus.url


@pytest.fixture(scope="session")
def release(cluster: Cluster, prometheus_url: str) -> Release:
    release = Release(cluster)
    once("release Ready", lambda: bring_release(release, cluster_values(cluster, prometheus_url)))
    return release


@pytest.fixture(autouse=True)
def past(request) -> None:
    """A test with a past cannot run where there is no Prometheus to tell it."""
    if request.node.get_closest_marker("past") and not request.getfixturevalue("prometheus_url"):
        pytest.fail("a test with a past needs a Prometheus at an address that pods reach; here is none")


@pytest.fixture
def namespace(cluster: Cluster, request) -> Iterator[str]:
    name = namespace_of(request.node)
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"plimsoll-e2e": "yes"}},
        }
    )
    yield name
    cluster.kube("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call):
    report = yield
    if report.failed:
        mark(report, call)
        save_once(item)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    """What a test's failure leaves is saved at once where it, or a fixture, would take it away otherwise."""
    with saved_by(lambda: save_once(item)):
        return (yield)


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    terminalreporter.section("times")
    for name, seconds in [*noted_times(), ("everything", time.monotonic() - STARTED)]:
        terminalreporter.write_line(f"{name:<24}{seconds:8.1f} s")
    if found := noted():
        terminalreporter.section("figures")
        for line in found:
            terminalreporter.write_line(line.replace("\t", "  "))


def bring_up() -> None:
    """Bring the cluster up, and remember who did."""
    was_up = (state_directory() / "cluster.json").exists()
    cluster_up()
    if not was_up:
        (run_directory() / BROUGHT_UP).touch()


def save_once(item: pytest.Item) -> None:
    """Save what the test leaves, as it is when this is first called."""
    here = getattr(item, "funcargs", {})
    if "cluster" not in here or item.stash.get(SAVED, False):
        return
    item.stash[SAVED] = True
    of = here.get("namespace", NAMESPACE)  # none: the release failed, or the test is about nothing else
    save_artifacts(here["cluster"], of, artifacts_directory() / namespace_of(item))


def is_worker(config: pytest.Config) -> bool:
    """True in a process that pytest-xdist started."""
    return hasattr(config, "workerinput")


def namespace_of(item: pytest.Item) -> str:
    """Name of a test's namespace in this run."""
    slug = re.sub("[^a-z0-9]+", "-", item.name.lower())[:40].strip("-")
    return f"e2e-{slug}-{hashlib.sha256(item.nodeid.encode()).hexdigest()[:4]}-{os.environ[RUN]}"


def pasts_of(items: list[pytest.Item]) -> list[Past]:
    """What the markers `past(workload, hourly_mib)` of tests tell."""
    return [
        Past(namespace_of(item), workload, CONTAINER, hourly_mib)
        for item in items
        for workload, hourly_mib in (mark.args for mark in item.iter_markers("past"))
    ]


def artifacts_directory() -> Path:
    """Where artifacts of failed tests go."""
    return Path(os.environ.get("PLIMSOLL_ARTIFACTS", REPOSITORY / "build/e2e"))
