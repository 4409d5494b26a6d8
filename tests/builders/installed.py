"""Helm on a real API server, for the one release of a test.

In: a connection of Helm's own library. Out: what its actions did, and objects as the API server holds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import httpx

from builders.chart import CHART, NAMESPACE, RELEASE, Object
from builders.crds import CRDS


@dataclass(frozen=True)
class Helm:
    """Helm on the API server, for the one release."""

    config: helm_python.Config
    http: httpx.Client

    def install(self, values: Mapping[str, Any] | None = None, chart: Path = CHART) -> None:
        """`helm install plimsoll CHART -n plimsoll-system --create-namespace`."""
        self.config.install(chart, RELEASE, dict(values or {}), namespace=NAMESPACE, create_namespace=True)

    def upgrade(self, values: Mapping[str, Any] | None = None, chart: Path = CHART) -> None:
        """`helm upgrade plimsoll CHART`."""
        self.config.upgrade(chart, RELEASE, dict(values or {}), namespace=NAMESPACE)

    def rollback(self, revision: int) -> None:
        """`helm rollback plimsoll REVISION`."""
        self.config.rollback(RELEASE, version=revision)

    def uninstall(self) -> None:
        """`helm uninstall plimsoll`."""
        self.config.uninstall(RELEASE, ignore_not_found=True)

    def get(self, path: str) -> Object:
        """One object as the API server holds it."""
        answer = self.http.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def schema_of_policies(self) -> Object:
        """The schema of MemoryPolicy's spec as it is served."""
        crd = self.get(f"{CRDS}/memorypolicies.plimsoll.dev")
        return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
