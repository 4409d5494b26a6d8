"""A token for the API server is mounted where the API server is asked, and in no other container.

In: rendered pods. The directory, and the files in it, are those that the agent's own client reads.
"""

import ast
import inspect
from collections.abc import Mapping
from typing import Any

import pytest

from builders.chart import VALUE_SETS, Object, render
from plimsoll_nodeagent.control import kubeapi

DIRECTORY = str(kubeapi.TOKEN_DIRECTORY)
ACTING = {"agent": {"act": {"enabled": True}}}
JOINED = {"coordination": {"enabled": True}}
SETS: Mapping[str, Mapping[str, Any]] = {
    **VALUE_SETS,
    "acting": ACTING,
    "joined": JOINED,
    "acting and joined": {**ACTING, **JOINED},
    "held": {"placement": {"gates": {"enabled": True}}},
}


def pods(values: Mapping[str, Any]) -> list[Object]:
    """The spec of every pod, that of `helm test` too."""
    rendered = render(values)
    workloads = (*rendered.of_kind("Deployment"), *rendered.of_kind("DaemonSet"))
    return [*(each["spec"]["template"]["spec"] for each in workloads), rendered.one("Pod", "-test")["spec"]]


def tokens_for_the_api_server(pod: Object) -> set[str]:
    """The volumes of a pod with a token of the API server's own audience."""
    return {
        volume["name"]
        for volume in pod.get("volumes", ())
        for source in volume.get("projected", {}).get("sources", ())
        if "serviceAccountToken" in source and "audience" not in source["serviceAccountToken"]
    }


def holders(pod: Object) -> set[str]:
    """Names of the containers that can ask the API server as the pod's account, init containers' too."""
    every = (*pod.get("initContainers", ()), *pod["containers"])
    if pod.get("automountServiceAccountToken") is not False:
        return {each["name"] for each in every}
    own = tokens_for_the_api_server(pod)
    return {each["name"] for each in every if own & {mount["name"] for mount in each.get("volumeMounts", ())}}


@pytest.mark.parametrize("name", SETS)
def test_who_is_bound_to_a_role_has_a_token_in_one_container_and_nobody_else_has_any(name: str):
    bound = render(SETS[name]).bound_accounts
    for pod in pods(SETS[name]):
        account = pod.get("serviceAccountName")
        expected = {pod["containers"][0]["name"]} if account in bound else set()
        assert holders(pod) == expected, account


@pytest.mark.parametrize("values", [ACTING, {**ACTING, **JOINED}], ids=["acting", "acting and joined"])
def test_the_token_of_an_agent_that_acts_is_where_it_reads_it_and_ends_within_the_hour(values: Object):
    pod = render(values).one("DaemonSet")["spec"]["template"]["spec"]
    (agent,) = pod["containers"]
    (mount,) = (each for each in agent["volumeMounts"] if each["mountPath"] == DIRECTORY)
    assert mount["readOnly"] is True
    (volume,) = (each for each in pod["volumes"] if each["name"] == mount["name"])
    token, authority, namespace = volume["projected"]["sources"]
    assert token == {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    assert authority["configMap"]["name"] == "kube-root-ca.crt"  # Kubernetes puts it into every namespace
    (field,) = namespace["downwardAPI"]["items"]
    assert field["fieldRef"]["fieldPath"] == "metadata.namespace"
    given = {"token", *(each["path"] for each in authority["configMap"]["items"]), field["path"]}
    assert given == {"token", "ca.crt", "namespace"}
    assert files_read_by_the_client() == {"token", "ca.crt"}


def files_read_by_the_client() -> set[str]:
    """Files of its token's directory that the agent's client opens."""
    return {
        each.right.value
        for each in ast.walk(ast.parse(inspect.getsource(kubeapi)))
        if isinstance(each, ast.BinOp)
        and isinstance(each.right, ast.Constant)
        and getattr(each.left, "attr", "") == "_directory"
    }
