"""A real metrics-server for VM nodes, beside the control plane as CoreDNS is: what the chart's defaults read.

In: a cluster. Out: the API `metrics.k8s.io`, answered from the kubelets' own measurements, for a block. Other
providers have one already or not; there nothing is started, and the block is told.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builders.e2e.cluster import REPOSITORY, Cluster, Manifest, run
from builders.e2e.network import home_network
from builders.e2e.patience import wait_for

NAME, NAMESPACE, PORT = "metrics-server", "kube-system", 4443
API = "/apis/metrics.k8s.io/v1beta1"
BUILD_SECONDS = 1500  # once: Go compiles it from its module


def metrics_answer(cluster: Cluster) -> bool:
    """True where every node's usage is told."""
    try:
        items = json.loads(cluster.kube("get", "--raw", f"{API}/nodes"))["items"]
    except AssertionError:
        return False
    return {each["metadata"]["name"] for each in items} >= set(cluster.nodes)


@contextmanager
def metrics_server(cluster: Cluster) -> Iterator[bool]:
    """Started for the block on VM nodes; built from its module where the cache has none.

    True where there is one: on VM nodes always, or this fails, so that nothing there can be skipped for it.
    """
    if cluster.provider != "vm":
        yield metrics_answer(cluster)
        return
    with home_network():
        run([str(REPOSITORY / "kind/vm/build-binaries.sh"), NAME], seconds=BUILD_SECONDS)
    directory = Path(cluster.run) / NAME
    directory.mkdir(exist_ok=True)
    program = Path(cluster.kubectl).with_name(NAME)
    serve = [
        *("ip", "netns", "exec", cluster.network_namespace, str(program)),
        *(f"--{name}={cluster.kubeconfig}" for name in ("kubeconfig", "authentication-kubeconfig")),
        f"--authorization-kubeconfig={cluster.kubeconfig}",
        f"--cert-dir={directory}",
        f"--secure-port={PORT}",
        "--kubelet-insecure-tls",  # they sign their own certificates
        "--kubelet-preferred-address-types=InternalIP",
        "--metric-resolution=15s",
    ]
    log = str(directory / "log")
    pid = int(run(["sh", "-c", 'log=$1; shift; "$@" >>"$log" 2>&1 & echo $!', "sh", log, *serve]))
    try:
        cluster.apply(*manifests(cluster.host_address()))
        wait_for(lambda: metrics_answer(cluster), f"metrics-server to tell of every node ({log})", 120)
        yield True
    finally:
        os.kill(pid, signal.SIGTERM)
        for each in manifests(cluster.host_address()):
            where = ("-n", NAMESPACE) if "namespace" in each["metadata"] else ()
            kind, name = each["kind"].lower(), each["metadata"]["name"]
            cluster.kube("delete", kind, name, *where, "--ignore-not-found")


def manifests(address: str) -> tuple[Manifest, Manifest, Manifest]:
    """What leads the API server to it."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": PORT}]},
    }
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": NAME},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": PORT}],
    }
    api = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "service": {"name": NAME, "namespace": NAMESPACE},
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    return service, slice_, api
