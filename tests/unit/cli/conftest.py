"""A cluster per module for commands that read, one per test for commands that write; `plimsoll` in-process.

Nothing is mocked: the command line speaks HTTP to the sandbox's API, through a kubeconfig.
"""

import json

import pytest
from typer.testing import CliRunner

from builders.clusterworld import cluster_world
from plimsoll_cli.main import app


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cluster that is only read."""
    with cluster_world(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def own_world(tmp_path):
    """A cluster of the test's own: it may be written to, or refuse."""
    with cluster_world(tmp_path) as made:
        yield made


@pytest.fixture
def bare_world(tmp_path):
    """A cluster in which Plimsoll is not installed."""
    with cluster_world(tmp_path, installed=False) as made:
        yield made


@pytest.fixture
def plimsoll(monkeypatch, tmp_path):
    """Run `plimsoll ...`; `at` is the cluster whose kubeconfig the environment names (None: none there)."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("PLIMSOLL_NAMESPACE", raising=False)

    def run(*arguments, at=None):
        monkeypatch.setenv("KUBECONFIG", str(at.kubeconfig if at is not None else tmp_path / "none"))
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def told(plimsoll):
    """Run a command that must succeed and return its JSON."""

    def run(*arguments, at=None):
        result = plimsoll(*arguments, "-o", "json", at=at)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return run
