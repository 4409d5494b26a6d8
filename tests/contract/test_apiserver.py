"""The real API server itself: it is what we say it is, it refuses strangers, and it survives a restart."""

import httpx
import pytest

from builders.apiserver import ApiServer

pytestmark = pytest.mark.apiserver


def test_reports_the_version_the_go_module_pins(real_client: httpx.Client):
    assert real_client.get("/version").json()["gitVersion"] == "v1.37.1"


@pytest.mark.parametrize(("user", "status"), [("admin", 200), ("operator", 403), ("nobody", 403)])
def test_rbac_decides_who_may_list_pods(apiserver: ApiServer, user: str, status: int):
    assert apiserver.client(user).get("/api/v1/pods").status_code == status


def test_keeps_objects_over_a_restart(apiserver: ApiServer, real_namespace: str):
    apiserver.restart()
    found = apiserver.client().get(f"/api/v1/namespaces/{real_namespace}")
    assert found.json()["metadata"]["name"] == real_namespace
