"""In: `make apiserver`'s binaries. Out: one real API server for the whole run. Nothing is mocked here."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from builders.apiserver import ApiServer, running_apiserver


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real kube-apiserver with etcd, RBAC on; use only in tests marked `apiserver`."""
    with running_apiserver(tmp_path_factory.mktemp("apiserver")) as api:
        yield api


@pytest.fixture
def real_client(apiserver: ApiServer) -> httpx.Client:
    """HTTP client of the real API server, speaking as a cluster administrator."""
    return apiserver.client()


@pytest.fixture
def real_namespace(real_client: httpx.Client) -> str:
    """A fresh namespace on the real API server."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    real_client.post("/api/v1/namespaces", json=body).raise_for_status()
    return name
