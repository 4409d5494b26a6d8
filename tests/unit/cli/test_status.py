"""`plimsoll status`: profiles, the operator's health, and what is wrong."""

import csv
import io
import re

import pytest

from builders.clusterworld import MIB


def rows_by_workload(document):
    return {
        (row["namespace"], row["kind"], row["name"], row["node_class"]): row for row in document["containers"]
    }


def test_every_profile_with_its_numbers_and_its_last_decision(told, world):
    rows = rows_by_workload(told("status", at=world))
    row = rows["demo", "Deployment", "web", None]
    expected = {
        "container": "main",
        "mode": "InPlace",
        "policy": "MemoryPolicy demo/everything",
        "pods": 2,
        "usage_bytes": 200 * MIB,
        "limit_bytes": 640 * MIB,
        "target_bytes": 320 * MIB,
        "class": "growth",
        "decision": "raise",
        "reason": "OOMKilled",
        "oom_kills": 2,
        "restore": False,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["decided_seconds"] == pytest.approx(world.now_seconds - 300, abs=1)


def test_a_daemonset_has_a_row_for_every_class_of_kube_nodes(told, world):
    rows = rows_by_workload(told("status", "log", at=world))
    assert {key[3]: row["usage_bytes"] for key, row in rows.items()} == {"small": 30 * MIB, "large": 90 * MIB}


def test_the_table_says_who_leads_and_what_is_wrong(plimsoll, world):
    shown = plimsoll("status", at=world).stdout
    assert "operator-0 leads, Lease renewed " in shown
    assert "shop/Deployment/web: Conflict is True (SamePrecedence): two policies speak" in shown
    line = next(line for line in shown.splitlines() if "demo/Deployment/web" in line)
    for word in ("main", "InPlace", "200Mi", "640Mi", "320Mi", "raise", "OOMKilled"):
        assert word in line
    assert set(line.split()) & world.ages(300)


def test_amounts_have_the_units_of_manifests(plimsoll, world):
    assert "limit 512.0Mi -> 640.0Mi" in plimsoll("status", "demo/deploy/web", at=world).stdout
    assert not re.search("[KMGT]iB", plimsoll("status", at=world).stdout)


def test_one_workload_is_shown_with_the_sentence_of_its_decision(plimsoll, world):
    shown = plimsoll("status", "shop/deploy/web", at=world).stdout
    assert "shop/Deployment/web main: not enough history to say anything yet" in shown
    assert "2h" in shown
    assert "demo" not in shown


def test_one_workload_is_shown_with_the_class_of_its_usage(plimsoll, world):
    shown = plimsoll("status", "demo/deploy/web", at=world).stdout
    assert "demo/Deployment/web main: its usage is growth" in shown


@pytest.mark.parametrize("text", ["demo/Deployment/web", "demo/deployments/web", "demo/deploy/web"])
def test_a_workload_may_be_written_in_many_ways(told, world, text):
    assert len(told("status", text, at=world)["containers"]) == 1


@pytest.mark.parametrize("arguments", [("web", "-n", "demo"), ("deploy/web", "-n", "demo")])
def test_a_namespace_may_come_from_the_flag(told, world, arguments):
    assert told("status", *arguments, at=world)["containers"][0]["namespace"] == "demo"


def test_a_namespace_filters(told, world):
    assert {row["namespace"] for row in told("status", "-n", "shop", at=world)["containers"]} == {"shop"}


def test_csv_has_the_rows_alone(plimsoll, world):
    rows = list(csv.DictReader(io.StringIO(plimsoll("status", "-o", "csv", at=world).stdout)))
    assert {row["name"] for row in rows} == {"web", "log"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("web", "'web' may be demo/Deployment/web or shop/Deployment/web; write it out"),
        ("demo/Deployment/wep", "did you mean demo/Deployment/web"),
        ("crat", "did you mean shop/StatefulSet/cart?"),
        ("statefulset/web", "did you mean"),
        ("demo//web", "want name, kind/name or namespace/kind/name"),
        ("a/b/c/d", "want name, kind/name or namespace/kind/name"),
        ("zzzzzz", "no MemoryProfile of workload 'zzzzzz' among 5 profiles"),
    ],
)
def test_a_workload_that_is_not_there_names_what_comes_near(plimsoll, world, text, sentence):
    result = plimsoll("status", text, at=world)
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr


def test_a_flag_and_a_name_must_not_contradict(plimsoll, world):
    result = plimsoll("status", "demo/Deployment/web", "-n", "shop", at=world)
    assert (result.exit_code, "is not in namespace shop" in result.stderr) == (1, True)


def test_an_empty_namespace_is_said(plimsoll, world):
    result = plimsoll("status", "-n", "plimsoll-system", at=world)
    assert "No MemoryProfile says anything yet" in result.stdout


def test_a_lease_that_ran_out_is_no_leader(plimsoll, own_world):
    path = "/apis/coordination.k8s.io/v1/namespaces/plimsoll-system/leases/plimsoll-operator"
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"spec": {"leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"}}
    own_world.http.patch(path, json=body, headers=headers).raise_for_status()
    assert "nobody leads: the Lease of operator-0 ran out" in plimsoll("status", at=own_world).stdout


def test_what_the_operator_does_without_is_said_beside_who_leads(plimsoll, own_world):
    path = "/apis/coordination.k8s.io/v1/namespaces/plimsoll-system/leases/plimsoll-operator"
    headers = {"Content-Type": "application/merge-patch+json"}
    for said, shown in (
        ("operator-0 2 of 5 agents are away", True),
        ("operator-9 2 of 5 agents are away", False),
    ):
        body = {"metadata": {"annotations": {"plimsoll.dev/degraded": said}}}
        own_world.http.patch(path, json=body, headers=headers).raise_for_status()
        assert ("; 2 of 5 agents are away" in plimsoll("status", at=own_world).stdout) == shown


def test_no_lease_is_no_leader(plimsoll, world):
    shown = plimsoll("status", "--operator-namespace", "elsewhere", at=world).stdout
    assert "Operator in elsewhere: nobody leads, so nothing is acted on" in shown


def test_what_may_not_be_read_of_the_operator_does_not_hide_the_profiles(plimsoll, own_world):
    own_world.forbid("leases")
    own_world.forbid("configmaps")
    shown = plimsoll("status", at=own_world).stdout
    assert "its Lease may not be read; whether it is paused may not be read" in shown
    assert "demo/Deployment/web" in shown


def test_a_pause_is_shown(plimsoll, own_world):
    plimsoll("pause", at=own_world)
    assert "all acting is PAUSED" in plimsoll("status", at=own_world).stdout


def test_a_profile_that_cannot_be_read_is_named(plimsoll, own_world):
    path = "/apis/plimsoll.dev/v1alpha1/namespaces/shop/memoryprofiles/statefulset-cart/status"
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"status": {"containers": [{"name": "app", "usage": {"current": "much"}}]}}
    own_world.http.patch(path, json=body, headers=headers).raise_for_status()
    result = plimsoll("status", at=own_world)
    assert result.exit_code == 2
    assert "MemoryProfile shop/statefulset-cart: status.containers.0.usage.current" in result.stderr


@pytest.mark.parametrize("command", [("status",), ("explain", "web"), ("restore", "web")])
class TestWithoutACluster:
    """What every command that reads profiles says when it cannot."""

    def test_no_kubeconfig(self, plimsoll, command):
        result = plimsoll(*command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "no kubeconfig: " in result.stderr
        assert "name one with --kubeconfig" in result.stderr

    def test_unreachable(self, plimsoll, command, tmp_path, world):
        away = tmp_path / "away"
        away.write_text(world.kubeconfig.read_text().replace(world.fake.url, "http://127.0.0.1:1"))
        result = plimsoll(*command, "--kubeconfig", away)
        assert result.exit_code == 2
        assert "cannot reach the API server at http://127.0.0.1:1" in result.stderr

    def test_forbidden(self, plimsoll, command, own_world):
        own_world.forbid("memoryprofiles")
        result = plimsoll(*command, at=own_world)
        assert result.exit_code == 2
        assert "not allowed (403)" in result.stderr
        assert "with -n" in result.stderr

    def test_not_installed(self, plimsoll, command, bare_world):
        result = plimsoll(*command, at=bare_world)
        assert result.exit_code == 2
        assert "Plimsoll is not installed in this cluster" in result.stderr
