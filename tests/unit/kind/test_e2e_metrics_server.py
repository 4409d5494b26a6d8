"""Whether there is a metrics-server is asked once; where the tests bring one, its silence is a failure."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from builders.e2e import metrics_server as module


@pytest.mark.parametrize(
    ("provider", "answers", "told"), [("vm", 1, True), ("kind", 0, False), ("kind", 1, True)]
)
def test_only_a_cluster_of_others_may_lack_one(
    monkeypatch, tmp_path: Path, provider: str, answers: int, told: bool
):
    """It answers so many times, and is silent afterwards."""
    asked: list[int] = []

    def answer(_cluster: object) -> bool:
        asked.append(1)
        return len(asked) <= answers

    def wait(look, what: str, _seconds: int) -> None:
        assert look(), what

    monkeypatch.setattr(module, "metrics_answer", answer)
    monkeypatch.setattr(module, "wait_for", wait)
    monkeypatch.setattr(module, "run", lambda *_, **__: "1234567")
    monkeypatch.setattr(module.os, "kill", lambda *_: None)
    cluster = SimpleNamespace(
        provider=provider,
        run=str(tmp_path),
        kubectl="kubectl",
        kubeconfig="",
        network_namespace="cluster",
        host_address=lambda: "192.0.2.1",
        apply=lambda *_: None,
        kube=lambda *_: "",
    )
    with module.metrics_server(cluster) as there:
        assert there is told
