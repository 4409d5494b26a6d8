"""The kubelet source against real TLS servers that answer as kubelets do."""

import threading

import httpx
import numpy as np
import pytest
from kubernetes.client import Configuration

from builders.answering import Answer, Asked, answering, as_json
from builders.certificates import loopback_pair
from plimsoll.usage.sample import Quantity
from plimsoll_operator.observe.access import ClusterAccess
from plimsoll_operator.observe.kubelet import (
    PROXY_WARNING,
    KubeletSettings,
    KubeletSource,
    read_resource_metrics,
    read_summary,
)
from plimsoll_operator.observe.source import SourceError

NOW = 1_790_000_000.0
STAMP = "2026-09-21T14:13:20Z"
BOTH = frozenset(Quantity)
WORKING_SET = frozenset({Quantity.WORKING_SET})

RESOURCE_METRICS = """# HELP container_memory_working_set_bytes [STABLE] Current working set of the container
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="app",namespace="shop",pod="a-1"} 1.048576e+08 1790000000000
container_memory_working_set_bytes{container="odd\\"name",namespace="shop",pod="a-1"} 5 1790000000000
container_memory_working_set_bytes{container="late",namespace="shop",pod="a-1"} 7
container_memory_working_set_bytes{container="",namespace="shop",pod="a-1"} 7 1790000000000
container_memory_working_set_bytes{container="broken",namespace="shop",pod="a-1"} NaN 1790000000000
container_start_time_seconds{container="app",namespace="shop",pod="a-1"} 1.7e+09
pod_memory_working_set_bytes{namespace="shop",pod="a-1"} 1.1e+08 1790000000000
"""


def summary(pod="a-1", usage=200.0, working_set=100.0):
    memory = {"time": STAMP, "usageBytes": usage, "workingSetBytes": working_set}
    ended = {"name": "init"}
    return {
        "node": {},
        "pods": [
            {
                "podRef": {"name": pod, "namespace": "shop", "uid": "u"},
                "containers": [{"name": "app", "memory": memory}, ended],
            }
        ],
    }


def node(name, port, address="127.0.0.1"):
    return {
        "metadata": {"name": name},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        },
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return loopback_pair(tmp_path_factory.mktemp("kubelet"))


class Cluster:
    """An API server that lists nodes, and the access to it that a service account has."""

    def __init__(self, pair, nodes, timeout=5.0, proxied=None, **settings):
        self.nodes = nodes
        self.pair = pair
        self.timeout = timeout
        self.proxied = proxied
        self.settings = KubeletSettings(**settings)

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/api/v1/nodes":
            at = int(asked.query.get("continue", "0"))
            metadata = {"continue": str(at + 1)} if at + 1 < len(self.nodes) else {}
            return as_json({"metadata": metadata, "items": self.nodes[at : at + 1]})
        return self.proxied(asked) if self.proxied else Answer(status=404)

    def fetch(self, wanted=BOTH, insecure=False):
        with answering(self.answer) as server:
            configuration = Configuration()
            configuration.host = server.url
            configuration.api_key = {"authorization": "Bearer s3cret"}
            access = ClusterAccess(configuration)
            source = KubeletSource(
                access.api_client(self.timeout),
                access.kubelet_clients(self.timeout, str(self.pair / "tls.crt"), insecure=insecure),
                self.settings,
            )
            try:
                return source.fetch(NOW, wanted)
            finally:
                source.close()


def test_asks_each_kubelet_on_its_own_port_over_tls_with_the_token(pair):
    with (
        answering(lambda _: as_json(summary("a-1")), tls=pair) as one,
        answering(lambda _: as_json(summary("b-1", 300.0, 50.0)), tls=pair) as two,
    ):
        fetched = Cluster(pair, [node("n1", one.port), node("n2", two.port)]).fetch()
    assert fetched.problems == ()
    assert fetched.batch.names == (("shop", "a-1", "app"), ("shop", "b-1", "app"))
    assert fetched.batch.usage_bytes.tolist() == [200.0, 300.0]
    assert fetched.batch.working_set_bytes.tolist() == [100.0, 50.0]
    assert fetched.batch.seconds.tolist() == [NOW, NOW]
    assert one.asked[0].path == "/stats/summary"
    assert one.asked[0].query == {"only_cpu_and_memory": "true"}
    assert one.asked[0].headers["authorization"] == "Bearer s3cret"


def test_asks_for_the_cheap_metrics_where_working_sets_are_enough(pair):
    with answering(lambda _: Answer(RESOURCE_METRICS.encode()), tls=pair) as one:
        fetched = Cluster(pair, [node("n1", one.port)]).fetch(WORKING_SET)
    assert [asked.path for asked in one.asked] == ["/metrics/resource"]
    assert fetched.batch.names[0] == ("shop", "a-1", "app")
    assert fetched.batch.working_set_bytes[0] == 1.048576e8


def test_a_kubelet_that_fails_is_named_and_the_others_are_taken(pair):
    with (
        answering(lambda _: as_json(summary()), tls=pair) as good,
        answering(lambda _: Answer(b"no", 500), tls=pair) as bad,
    ):
        fetched = Cluster(pair, [node("n1", good.port), node("n2", bad.port)]).fetch()
    assert fetched.problems == ()
    assert len(fetched.batch.names) == 1
    assert "kubelet of n2" in fetched.notices[0]
    assert "500" in fetched.notices[0]


def test_a_slow_kubelet_costs_only_its_own_samples(pair):
    held = threading.Event()
    with (
        answering(lambda _: as_json(summary()), tls=pair) as good,
        answering(lambda _: Answer(b"{}", held=held), tls=pair) as slow,
    ):
        fetched = Cluster(pair, [node("n1", good.port), node("n2", slow.port)], timeout=1.5).fetch()
        held.set()
    assert len(fetched.batch.names) == 1
    assert "timed out" in fetched.notices[0]


def test_no_kubelet_at_all_is_a_problem(pair):
    with answering(lambda _: Answer(b"garbage"), tls=pair) as bad:
        fetched = Cluster(pair, [node("n1", bad.port)]).fetch()
    assert fetched.problems == ("no kubelet of 1 answered",)


def test_a_certificate_that_is_not_the_clusters_is_refused_unless_told_otherwise(pair, tmp_path):
    other = loopback_pair(tmp_path)
    with answering(lambda _: as_json(summary()), tls=other) as stranger:
        strict = Cluster(pair, [node("n1", stranger.port)])
        assert "CERTIFICATE_VERIFY_FAILED" in strict.fetch().notices[0]
        assert len(strict.fetch(insecure=True).batch.names) == 1


def test_the_node_proxy_is_used_only_when_asked_for_and_warns(pair):
    asked_paths = []

    def proxied(asked: Asked) -> Answer:
        asked_paths.append(asked.path)
        return as_json(summary())

    fetched = Cluster(pair, [node("n1", 1)], proxied=proxied, node_proxy=True).fetch()
    assert asked_paths == ["/api/v1/nodes/n1/proxy/stats/summary"]
    assert fetched.notices == (PROXY_WARNING,)


def test_an_api_server_that_lists_no_nodes_is_a_problem(pair):
    class Down(Cluster):
        def answer(self, asked: Asked) -> Answer:
            return Answer(status=503)

    assert Down(pair, []).fetch().problems[0].startswith("list of nodes: ")


def test_a_node_without_an_address_or_of_nonsense_is_passed_over(pair):
    with answering(lambda _: as_json(summary()), tls=pair) as good:
        nodes = [node("n1", good.port), {"metadata": {"name": "n2"}, "status": {}}, 7, {"metadata": {}}]
        fetched = Cluster(pair, nodes).fetch()
    assert len(fetched.batch.names) == 1
    assert fetched.notices == ()


def test_more_failures_than_anyone_reads_are_counted(pair):
    closed = [node(f"n{i}", 1) for i in range(30)]
    fetched = Cluster(pair, closed).fetch()
    assert len(fetched.notices) == 21
    assert fetched.notices[-1] == "and 10 more like these"


def test_resource_metrics_take_what_is_a_container_and_leave_the_rest():
    batch = read_resource_metrics(RESOURCE_METRICS, NOW + 5).build()
    by_name = dict(zip([name[2] for name in batch.names], batch.working_set_bytes, strict=True))
    assert by_name["app"] == 1.048576e8
    assert np.isnan(by_name["broken"])
    assert "" not in by_name
    assert batch.seconds.tolist() == [NOW, NOW, NOW + 5, NOW]


def test_resource_metrics_of_something_else_are_refused():
    with pytest.raises(SourceError):
        read_resource_metrics("<html>login</html>", NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"pods": 1}', b"\xff"])
def test_a_summary_that_is_none_is_refused(body):
    with pytest.raises(SourceError):
        read_summary(body)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {"podRef": None},
        {"podRef": {"name": "a"}, "containers": [{"name": "c", "memory": {}}]},
        {"podRef": {"name": "a", "namespace": "b"}, "containers": [None, {"memory": {}}]},
    ],
)
def test_a_summary_with_a_broken_pod_keeps_the_others(broken):
    document = summary()
    document["pods"].insert(0, broken)
    batch = read_summary(httpx.Response(200, json=document).content).build()
    assert batch.names == (("shop", "a-1", "app"),)


@pytest.mark.parametrize("value", [None, "many", -1.0, True])
def test_a_summary_value_that_is_no_number_is_nan_or_left_to_the_history(value):
    batch = read_summary(httpx.Response(200, json=summary(usage=value)).content).build()
    assert np.isnan(batch.usage_bytes[0]) or batch.usage_bytes[0] == -1.0
    assert batch.working_set_bytes[0] == 100.0


def test_a_connection_is_kept_from_one_tick_to_the_next(pair):
    ports = []

    def answer(asked: Asked) -> Answer:
        ports.append(asked.client_port)
        return as_json(summary())

    with (
        answering(answer, tls=pair) as one,
        answering(lambda _: as_json({"items": [node("n1", one.port)]})) as api,
    ):
        configuration = Configuration()
        configuration.host = api.url
        access = ClusterAccess(configuration)
        clients = access.kubelet_clients(5.0, str(pair / "tls.crt"), insecure=False)
        source = KubeletSource(access.api_client(5.0), clients, KubeletSettings())
        source.fetch(NOW, BOTH)
        source.fetch(NOW + 60, BOTH)
        source.close()
    assert len(ports) == 2
    assert ports[0] == ports[1]
