"""The roles for people grant what the commands ask for and what is done to policies by hand, and no more.

In: the rendered roles, and the commands, run with a stand-in for the cluster that notes what each call has to
be authorised as.
"""

import ast
import contextlib
from pathlib import Path

import pytest

from builders.chart import Object, render
from builders.granted import granted, named
from plimsoll_cli import cluster as command_line
from plimsoll_cli import pause, restore, status
from plimsoll_operator.leader import LEASE_NAME

ROOT = Path(__file__).parents[2]


def test_people_with_edit_write_policies_of_their_namespace_and_nothing_else_of_ours():
    rendered = render()
    aggregated = {
        label.rpartition("-")[2]: role["rules"]
        for role in rendered.of_kind("ClusterRole")
        for label in role["metadata"]["labels"]
        if label.startswith("rbac.authorization.k8s.io/aggregate-to-")
    }
    assert set(aggregated) == {"view", "edit"}
    assert {each.verb for each in granted(aggregated["view"], "")} == {"get", "list", "watch"}
    assert {each.resource for each in granted(aggregated["edit"], "")} == {"memorypolicies"}


# What people send of policies, with kubectl: apply, edit and delete those of the cluster, switch another's.
READING = {"get", "list", "watch"}
BY_HAND = {("clustermemorypolicies", verb) for verb in (*READING, "create", "update", "patch", "delete")} | {
    ("memorypolicies", verb) for verb in (*READING, "update", "patch")
}


class RestoredByPeople:
    """Stands where the commands' `Cluster` stands, with one profile; keeps which rights restoring takes."""

    def __init__(self) -> None:
        self.rights: set[tuple[str, str]] = set()
        self.restore = False

    def items(self, path: str) -> list[Object]:
        self.rights.add((path.rpartition("/")[2], "list"))
        before = {"name": "main", "originalResources": {"request": "1Mi", "limit": "2Mi"}}
        spec = {"targetRef": {"kind": "Deployment", "name": "web"}, "restore": self.restore}
        meta = {"namespace": "demo", "name": "deployment-web"}
        return [{"metadata": meta, "spec": spec, "status": {"containers": [before]}}]

    def merge(self, path: str, body: Object) -> Object:
        self.rights.add((path.split("/")[-2], "patch"))
        self.restore = body["spec"]["restore"]
        return body


def test_who_operates_may_do_what_restoring_takes_and_what_is_done_to_policies_by_hand(
    monkeypatch: pytest.MonkeyPatch,
):
    cluster = RestoredByPeople()
    monkeypatch.setattr(restore, "open_cluster", lambda *_: contextlib.nullcontext(cluster))
    restore.restore_command("demo/Deployment/web")
    restore.restore_command("demo/Deployment/web", undo=True)
    assert cluster.rights == {("memoryprofiles", "list"), ("memoryprofiles", "patch")}
    reads = {(kind, verb) for kind in ("memoryprofiles", "nodememories") for verb in READING}
    given = list(granted(render().one("ClusterRole", "-operate")["rules"], "cluster"))
    assert {each.group for each in given} == {"plimsoll.dev"}
    assert {(each.resource, each.verb) for each in given} == cluster.rights | reads | BY_HAND


def test_no_other_command_writes_to_the_api_server():
    """What the two tests of `restore` and of `pause` compare is all that commands write."""
    source = ROOT / "cli/plimsoll_cli"
    sent = {
        (path.name, each.func.attr)
        for path in source.rglob("*.py")
        if "sandbox" not in path.parts
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in {"merge", "create"}
        and named(each.func.value) == "cluster"
    }
    assert sent == {("restore.py", "merge"), ("pause.py", "merge"), ("pause.py", "create")}
    methods = {name for name in vars(command_line.Cluster) if not name.startswith("_")}
    assert methods >= {"merge", "create"}
    assert {verb for verb in ("PUT", "DELETE") if verb in (source / "cluster.py").read_text()} == set()


class AskedOfPeople:
    """Stands where the commands' `Cluster` stands; keeps the verbs that they are authorised as."""

    def __init__(self, control: Object | None) -> None:
        self.control, self.verbs = control, {"get"}

    def find(self, path: str) -> Object | None:
        assert path.endswith("/configmaps/plimsoll-control")
        return self.control

    def create(self, path: str, body: Object) -> Object:
        assert path.endswith("/configmaps")
        self.verbs.add("create")
        return body

    def merge(self, path: str, body: Object) -> Object:
        self.verbs.add("patch")
        return body


def test_who_pauses_may_do_what_pausing_takes(monkeypatch: pytest.MonkeyPatch):
    asked: set[str] = set()
    for control in (None, {"data": {"paused": "false"}}, {"data": {"paused": "true"}}):
        cluster = AskedOfPeople(control)
        monkeypatch.setattr(pause, "open_cluster", lambda *_, to=cluster: contextlib.nullcontext(to))
        pause.pause_command()
        pause.resume_command()
        asked |= cluster.verbs
    role = render().one("Role", "-operate")
    given = {each for each in granted(role["rules"], "own namespace") if each.resource == "configmaps"}
    assert {each.verb for each in given} == asked
    assert {each.names for each in given if each.verb != "create"} == {("plimsoll-control",)}


class LookedAtByPeople:
    """Stands where the commands' `Cluster` stands, empty; keeps (resource, verb, name) of what is read."""

    def __init__(self) -> None:
        self.rights: set[tuple[str, str, str]] = set()

    def items(self, path: str) -> list[Object]:
        self.rights.add((path.rpartition("/")[2], "list", ""))
        return []

    def find(self, path: str) -> Object | None:
        collection, _, name = path.rpartition("/")
        self.rights.add((collection.rpartition("/")[2], "get", name))
        return None


def test_who_operates_sees_whether_an_operator_acts_and_has_nothing_more_of_the_lease(
    monkeypatch: pytest.MonkeyPatch,
):
    cluster = LookedAtByPeople()
    monkeypatch.setattr(status, "open_cluster", lambda *_: contextlib.nullcontext(cluster))
    status.status_command()
    assert ("leases", "get", LEASE_NAME) in cluster.rights
    rendered = render()
    everywhere = {
        (each.resource, each.verb, "")
        for each in granted(rendered.one("ClusterRole", "-operate")["rules"], "cluster")
    }
    within = {
        (each.resource, each.verb, *(each.names or ("",)))
        for each in granted(rendered.one("Role", "-operate")["rules"], "own namespace")
    }
    assert cluster.rights <= everywhere | within
    of_leases = {each for each in everywhere | within if each[0] == "leases"}
    assert of_leases == {("leases", "get", LEASE_NAME)}
