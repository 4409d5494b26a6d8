"""Discovery and /version: kmock's scaffold, which already answers them, corrected where clients would notice.

kmock orders a group's versions by a set's whim, so "preferredVersion" of autoscaling may be v1 in one run
and v2 in the next; and it says it is 1.26. Both are fixed here; everything else of discovery is kmock's.
"""

import re
from typing import Any

import kmock

VERSION = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.1",
    "gitCommit": "plimsoll-sandbox",
    "gitTreeState": "clean",
    "buildDate": "2026-11-01T00:00:00Z",
    "goVersion": "go1.26.8",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_VERSION = re.compile(r"^v(\d+)(?:(alpha|beta)(\d+))?$")
_MATURITY = {"alpha": 0, "beta": 1, None: 2}


def version_priority(version: str) -> tuple[int, int, int]:
    """Kubernetes' order of versions, to sort by in reverse: GA, beta, alpha; then the higher number."""
    match = _VERSION.match(version)
    if match is None:
        return (-1, 0, 0)
    return _MATURITY[match[2]], int(match[1]), int(match[3] or 0)


class Discovery(kmock.KubernetesScaffold):
    """kmock's scaffold with stable version order and our server version."""

    async def _serve_server_version(self, request: kmock.Request) -> kmock.Payload:  # noqa: ARG002
        return VERSION

    def _group(self, name: str) -> dict[str, Any]:
        found = {resource.version for resource in self._get_resources() if resource.group == name}
        versions = sorted((v for v in found if v is not None), key=version_priority, reverse=True)
        documents = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": documents, "preferredVersion": documents[0]}

    async def _serve_apis(self, request: kmock.Request) -> kmock.Payload:  # noqa: ARG002
        names = sorted({resource.group for resource in self._get_resources() if resource.group})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(name) for name in names]}

    async def _serve_group(self, request: kmock.Request) -> kmock.Payload:
        name = request.resource.group if request.resource is not None else None
        if not name or not any(resource.group == name for resource in self._get_resources()):
            raise kmock.KubernetesResourceNotFoundError
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group(name)}
