"""A cluster of somebody's own: what the end-to-end tests install there they uninstall, and nothing else."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from builders.e2e import session
from builders.e2e.cluster import CommandError, found_cluster, state_directory
from builders.e2e.release import Release
from builders.shown.cluster import ROOT


@pytest.fixture
def conftest() -> ModuleType:
    """tests/e2e/conftest.py, which pytest reads only for tests beside it."""
    spec = importlib.util.spec_from_file_location("conftest_of_e2e", ROOT / "tests/e2e/conftest.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Helm:
    """Stands for Helm: which releases there are, and which actions were asked for."""

    def __init__(self, *releases: str, fails: str = "") -> None:
        self.releases, self.fails = list(releases), fails
        self.done: list[str] = []

    def __call__(self, action: str, **arguments: Any) -> Any:
        if action == "list":
            return [{"name": each} for each in self.releases]
        self.done.append(action)
        if action == "install":
            self.releases.append(arguments["name"])
        if action == self.fails:
            raise CommandError(f"{action} failed")
        return None


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster that kind/kubeconfig.sh took, and a run on it; kubectl does nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv(session.RUN, "abc")
    monkeypatch.delenv("PLIMSOLL_CLUSTER_NAME", raising=False)
    described = {"provider": "kubeconfig", "name": "theirs", "kubeconfig": "", "kubectl": "true", "run": ""}
    images = {"operator": "a/b:1", "agent": "a/c:1"}
    state_directory().mkdir(parents=True)
    (state_directory() / "cluster.json").write_text(
        json.dumps({**described, "nodes": ["one"], "images": images, "load_image": "a/load:1"})
    )
    return tmp_path


def brought(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the fixture `release` does."""
    monkeypatch.setattr(Release, "helm", lambda _, action, **arguments: helm(action, **arguments))
    release = Release(found_cluster())
    session.once("release Ready", lambda: session.bring_release(release, {}))


def test_a_refused_run_leaves_the_release_that_was_there(theirs, conftest, monkeypatch, capsys):
    helm = Helm("plimsoll")
    for refusal in ("there is a release plimsoll", "failed for another test already"):
        with pytest.raises(AssertionError, match=refusal):
            brought(helm, monkeypatch)
    assert session.run_directory().exists()
    conftest.pytest_unconfigure(SimpleNamespace())
    assert (helm.done, helm.releases) == ([], ["plimsoll"])
    assert capsys.readouterr().out == ""
    assert not session.run_directory().exists()


@pytest.mark.parametrize("fails", ["", "install"])
def test_what_a_run_has_begun_to_install_it_uninstalls(theirs, conftest, monkeypatch, capsys, fails):
    helm = Helm("of-others", fails=fails)
    if fails:
        with pytest.raises(CommandError, match="install failed"):
            brought(helm, monkeypatch)
    else:
        brought(helm, monkeypatch)
    conftest.pytest_unconfigure(SimpleNamespace())
    assert helm.done == ["install", "uninstall"]
    assert "CRDs" in capsys.readouterr().out
