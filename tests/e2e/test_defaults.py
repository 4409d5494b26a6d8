"""The chart with nothing set but where its images are: the default usage source is a real metrics-server."""

import pytest

from builders.e2e.metrics_server import metrics_answer, metrics_server
from builders.e2e.patience import wait_for
from builders.e2e.release import cluster_values, image_value
from builders.e2e.workloads import MIB, deployment, policy, profile_of, recommended, running_pod
from plimsoll.api.quantity import parse_quantity


@pytest.mark.disruptive
def test_defaults_recommend_from_metrics_server(cluster, release, prometheus_url, namespace):
    images = {part: {"image": image_value(cluster.images[part])} for part in ("operator", "agent")}
    cluster.apply(
        policy(namespace, "plain", "plain", "Recommend"),
        deployment(cluster, namespace, "plain", mib=48, limit="256Mi", request="256Mi"),
    )
    running_pod(cluster, namespace, "plain")
    with metrics_server(cluster):
        if not metrics_answer(cluster):
            pytest.skip("this cluster has no metrics-server, which the chart's default usage source reads")
        release.install_or_upgrade(images)
        try:
            assert len(release.pods("operator")) == 2
            release.helm("test", name=release.name, timeout=600)

            def target():
                return recommended(profile_of(cluster, namespace, "deployment-plain")).get("target")

            wait_for(target, "a recommendation", 300)
            assert 48 * MIB < parse_quantity(target()) < 256 * MIB
        finally:
            release.install_or_upgrade(cluster_values(cluster, prometheus_url))
