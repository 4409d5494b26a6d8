"""The release of all other tests comes back, wherever the test of the first installation fails."""

import importlib.util
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from builders.e2e.release import Release
from builders.shown.cluster import ROOT

SHARED = "the shared release's values"
STEPS = ("uninstall", "install", "assert_two_operators_of_which_one_leads")


@pytest.fixture
def module() -> ModuleType:
    path = ROOT / "tests/e2e/test_first_install.py"
    spec = importlib.util.spec_from_file_location("first_install_of_e2e", path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize("fails", ["", *STEPS])
def test_the_shared_release_comes_back(module: ModuleType, monkeypatch, fails: str):
    """Each step fails once, after what it does is done."""
    installed: list[Any] = [SHARED]
    left = [fails]

    def step(name: str) -> None:
        if name in left:
            left.remove(name)
            raise AssertionError(f"{name} failed")

    def helm(_release: Release, action: str, **arguments: Any) -> Any:
        if action == "list":
            return [{"name": "plimsoll"} for _ in installed]
        assert bool(installed) is (action != "install"), action
        installed[:] = [] if action == "uninstall" else [arguments["values"]]
        step(action)
        return None

    monkeypatch.setattr(Release, "helm", helm)
    monkeypatch.setattr(Release, "pods", lambda *_: [])
    monkeypatch.setattr(Release, "wait_ready", lambda *_: None)
    monkeypatch.setattr(module, "wait_for", lambda look, what, _seconds: look() or pytest.fail(what))
    monkeypatch.setattr(module, "cluster_values", lambda *_: SHARED)
    for name in ("assert_two_operators_of_which_one_leads", "assert_agents_watch_from_their_own_namespace"):
        monkeypatch.setattr(module, name, lambda *_, name=name: step(name))
    cluster = SimpleNamespace(images={"operator": "a/b:1", "agent": "a/c:1"}, items=lambda *_: [])
    test = module.test_the_charts_defaults_on_a_cluster_without_a_release
    if fails:
        with pytest.raises(AssertionError, match=f"{fails} failed"):
            test(cluster, Release(cluster), "http://prometheus")
    else:
        test(cluster, Release(cluster), "http://prometheus")
    assert installed == [SHARED]
