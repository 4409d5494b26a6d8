"""In: values of `fleetMemory`, `redis` and `worker`. Out: an operator that remembers, and workers.

That a worker's pod is restricted is tested in test_pod_security.py.
"""

from typing import Any

import helm_python
import pytest

from builders.chart import EVERYTHING, render
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.work import WorkStream
from plimsoll_operator.forecasters.worker_serving import DEFINITIONS as OF_WORKERS
from plimsoll_operator.serve.metrics import DEFINITIONS
from plimsoll_operator.settings import OperatorSettings, settings_from

URL = "redis://plimsoll@redis.data.svc:6379/0"
WORK = {"redis": {"url": URL}, "worker": {"enabled": True}}
CLAIM = {"volume": {"claim": {"enabled": True}}}
ALONE = {"operator": {"replicas": 1}}
PROMETHEUS = "http://prometheus:9090"


def spec(values: dict[str, Any], part: str) -> dict[str, Any]:
    return render(values).one("Deployment", f"-{part}")["spec"]["template"]["spec"]


def settings(values: dict[str, Any]) -> OperatorSettings:
    (container,) = spec(values, "operator")["containers"]
    return settings_from([], {each["name"]: each.get("value", "") for each in container["env"]})


def environment(values: dict[str, Any]) -> dict[str, str]:
    (container,) = spec(values, "worker")["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


def component(values: dict[str, Any], kind: str) -> dict[str, Any]:
    return render(values).one(kind, "-worker")


def test_by_default_nothing_is_remembered_and_nobody_works():
    assert settings({}).memory_file == settings({}).memory_redis == settings({}).forecast_redis == ""
    names = {each["metadata"]["name"] for each in render().objects}
    assert not {each for each in names if each.endswith(("-worker", "-memory"))}


def test_the_file_lies_on_a_volume_that_the_operator_may_write():
    values = {"fleetMemory": {"enabled": True}}
    pod = spec(values, "operator")
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "memory")
    assert settings(values).memory_file.startswith(f"{mount['mountPath']}/")
    assert not mount.get("readOnly")
    (volume,) = (each for each in pod["volumes"] if each["name"] == "memory")
    assert volume["emptyDir"] == {"sizeLimit": "1Gi"}
    assert settings(values).memory_redis == "", "there is none"
    assert settings(values).own_weights_file == ""
    learning = settings({"fleetMemory": {"enabled": True, "ownWeights": True}})
    assert learning.own_weights_file.startswith(f"{mount['mountPath']}/")


@pytest.mark.parametrize(
    ("shared", "worker", "told"),
    [(True, False, (URL, "")), (False, True, ("", URL)), (True, True, (URL, URL)), (False, False, ("", ""))],
)
def test_redis_is_told_to_who_needs_it(shared: bool, worker: bool, told: tuple[str, str]):
    values = {
        "fleetMemory": {"enabled": True, "shared": shared},
        "redis": {"url": URL, "passwordSecret": {"name": "redis"}} if shared or worker else {},
        "worker": {"enabled": worker},
    }
    found = settings(values)
    assert tuple(each.partition("?")[0] for each in (found.memory_redis, found.forecast_redis)) == told
    mounted = {each["name"] for each in spec(values, "operator")["volumes"]}
    assert ("redis-password" in mounted) is (shared or worker)


@pytest.mark.parametrize("part", ["operator", "worker"])
def test_the_address_names_files_that_are_mounted_and_no_password(part: str):
    url = (
        settings(EVERYTHING).memory_redis if part == "operator" else environment(EVERYTHING)["PLIMSOLL_REDIS"]
    )
    address = parse_redis_address(url)
    assert (address.form, address.tls, address.user, address.replicas) == ("sentinel", True, "plimsoll", 1)
    assert address.password == ""
    pod = spec(EVERYTHING, part)
    secrets = {each["name"]: each["secret"] for each in pod["volumes"] if "secret" in each}
    files = {
        f"{mount['mountPath']}/{item['path']}": (secrets[mount["name"]]["secretName"], item["key"])
        for mount in pod["containers"][0]["volumeMounts"]
        if mount["name"] in secrets
        for item in secrets[mount["name"]].get("items", ())
    }
    assert files[address.password_file] == ("redis-user", "password")
    assert files[address.ca_file] == ("redis-ca", "authority.pem")
    assert files[address.cert_file] == ("redis-client", "tls.crt")
    assert files[address.key_file] == ("redis-client", "tls.key")


def test_a_claim_is_one_process_own_and_kept():
    values = {**ALONE, "fleetMemory": {"enabled": True, **CLAIM}}
    rendered = render(values)
    claim = rendered.one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    (volume,) = (each for each in spec(values, "operator")["volumes"] if each["name"] == "memory")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert rendered.one("Deployment", "-operator")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_claim_that_exists_is_used():
    values = {
        **ALONE,
        "fleetMemory": {"enabled": True, "volume": {"claim": {"enabled": True, "existing": "mine"}}},
    }
    assert render(values).of_kind("PersistentVolumeClaim") == []
    (volume,) = (each for each in spec(values, "operator")["volumes"] if each["name"] == "memory")
    assert volume["persistentVolumeClaim"] == {"claimName": "mine"}


def test_a_worker_has_no_rights_and_no_token():
    rendered, pod = render(WORK), spec(WORK, "worker")
    account = component(WORK, "ServiceAccount")
    assert pod["serviceAccountName"] == account["metadata"]["name"] == "plimsoll-worker"
    assert pod["automountServiceAccountToken"] is account["automountServiceAccountToken"] is False
    assert not any("serviceAccountToken" in str(each) for each in pod["volumes"])
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in rendered.of_kind(kind):
            assert "plimsoll-worker" not in {each["name"] for each in binding["subjects"]}
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["memory"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_worker_sends_to_redis_and_names_alone_and_is_probed_on_its_own_port():
    policy = component(EVERYTHING, "NetworkPolicy")["spec"]
    redis, names = policy["egress"]
    assert {each["port"] for each in redis["ports"]} == {6379, 26379}
    assert redis["to"] == EVERYTHING["networkPolicy"]["redisTo"]
    assert {each["port"] for each in names["ports"]} == {53}
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    (container,) = spec(EVERYTHING, "worker")["containers"]
    (port,) = container["ports"]
    assert container["args"] == [f"--metrics-port={port['containerPort']}"]
    assert container["livenessProbe"]["httpGet"]["port"] == port["name"]
    monitor = component(EVERYTHING, "PodMonitor")["spec"]
    labels = render(EVERYTHING).one("Deployment", "-worker")["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert [each["port"] for each in monitor["podMetricsEndpoints"]] == [port["name"]]


def test_an_operator_that_may_not_send_anywhere_may_send_to_redis():
    policy = render(EVERYTHING).one("NetworkPolicy", "-operator")["spec"]
    assert EVERYTHING["networkPolicy"]["operatorEgress"][0] in policy["egress"]
    assert {"port": 6379, "protocol": "TCP"} in [port for each in policy["egress"] for port in each["ports"]]
    assert "egress" not in render(WORK).one("NetworkPolicy", "-operator")["spec"], "it may send everywhere"


def test_the_two_autoscalers_look_at_a_metric_that_is_served():
    (trigger,) = component(EVERYTHING, "ScaledObject")["spec"]["triggers"]
    assert trigger["metadata"]["serverAddress"] == EVERYTHING["operator"]["settings"]["prometheusUrl"]
    assert trigger["metadata"]["threshold"] == "20"
    hpa = {**WORK, "worker": {"enabled": True, "autoscaling": {"kind": "hpa"}}}
    (metric,) = component(hpa, "HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["external"]["metric"]["name"]
    assert trigger["metadata"]["query"] == f"sum({name})"
    assert name in {each.name for each in DEFINITIONS}
    for values in (EVERYTHING, hpa):
        deployment = render(values).one("Deployment", "-worker")["spec"]
        assert "replicas" not in deployment, "an upgrade would set it back"
    assert render(WORK).one("Deployment", "-worker")["spec"]["replicas"] == 1


def test_one_worker_keeps_no_node_from_being_drained_and_several_go_by_halves():
    assert not [
        each for each in render(WORK).of_kind("PodDisruptionBudget") if "worker" in each["metadata"]["name"]
    ]
    assert component(EVERYTHING, "PodDisruptionBudget")["spec"]["maxUnavailable"] == "50%"


def test_metrics_of_workers_are_of_their_own_name():
    shared = {each.name for each in OF_WORKERS} & {each.name for each in DEFINITIONS}
    assert shared == {"plimsoll_build_info"}


def test_redis_cannot_be_reached_by_a_stream_that_the_chart_does_not_name():
    address = parse_redis_address(settings(EVERYTHING).forecast_redis)
    mine = parse_redis_address(environment(EVERYTHING)["PLIMSOLL_REDIS"])
    assert WorkStream(address)._base == WorkStream(mine)._base


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"fleetMemory": {"enable": True}}, "enable"),
        ({"fleetMemory": {"volume": {"size": "much"}}}, "/fleetMemory/volume/size"),
        ({"redis": {"url": "http://redis"}}, "/redis/url"),
        ({"redis": {"url": "redis://plimsoll:secret@redis"}}, "redis.passwordSecret"),
        ({"redis": {"url": "redis://r?ca_file=/x"}}, "redis.caSecret"),
        ({"redis": {"passwordSecret": {"name": "x"}}}, "redis.url is empty"),
        ({"redis": {"url": "redis://r", "caSecret": {"name": "x"}}}, "rediss"),
        ({"fleetMemory": {"enabled": True, **CLAIM}}, "operator.replicas `1`, not `2`"),
        ({"worker": {"enabled": True}}, "needs redis.url"),
        ({**WORK, "worker": {"enabled": True, "autoscaling": {"kind": "vpa"}}}, "/worker/autoscaling/kind"),
        ({**WORK, "worker": {"enabled": True, "autoscaling": {"kind": "keda"}}}, "prometheusUrl"),
        (
            {**WORK, "worker": {"enabled": True, "autoscaling": {"kind": "hpa", "minReplicas": 0}}},
            "minReplicas is `0`",
        ),
        (
            {**WORK, "worker": {"enabled": True, "autoscaling": {"kind": "hpa", "minReplicas": 9}}},
            "minReplicas is `9`: it must not exceed worker.autoscaling.maxReplicas, `5`",
        ),
        (
            {**WORK, "worker": {"enabled": True, "resources": {"limits": {"memory": "lots"}}}},
            "worker.resources.limits.memory is `lots`",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_refuses_what_makes_no_sense_and_repeats_no_password(values: dict[str, Any], named: str):
    with pytest.raises(helm_python.HelmError) as refusal:
        render(values)
    assert named in str(refusal.value)
    assert "secret@" not in str(refusal.value)
