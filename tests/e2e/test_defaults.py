"""The chart with nothing set but where its images are: the default usage source is a real metrics-server."""

import pytest

from builders.e2e.evidence import undone_by
from builders.e2e.metrics_server import metrics_server
from builders.e2e.patience import wait_for
from builders.e2e.release import cluster_values, image_value
from builders.e2e.workloads import MIB, deployment, policy, profile_of, running_pod
from plimsoll.api.quantity import parse_quantity


@pytest.mark.disruptive
def test_defaults_watch_by_metrics_server(cluster, release, prometheus_url, namespace):
    images = {part: {"image": image_value(cluster.images[part])} for part in ("operator", "agent")}
    with metrics_server(cluster) as answers:
        if not answers:
            pytest.skip("this cluster has no metrics-server, which the chart's default usage source reads")
        back = lambda: release.install_or_upgrade(cluster_values(cluster, prometheus_url))  # noqa: E731
        with undone_by(back):
            release.install_or_upgrade(images)
            assert len(release.pods("operator")) == 2
            release.helm("test", name=release.name, timeout=600)
            # Not before: what another operator has said of it would be read here.
            cluster.apply(
                policy(namespace, "plain", "plain", "Recommend"),
                deployment(cluster, namespace, "plain", mib=48, limit="256Mi", request="256Mi"),
            )
            running_pod(cluster, namespace, "plain")

            def watched():
                status = profile_of(cluster, namespace, "deployment-plain").get("status", {})
                seen = [each for each in status.get("containers", ()) if "current" in each.get("usage", {})]
                # Without a Prometheus nothing is known of the past: three hours go by before it recommends.
                told = seen and seen[0].get("lastDecision", {}).get("reason") == "NoHistory"
                return (status, seen[0]) if told else None

            status, seen = wait_for(watched, "its usage", 300)
            assert 48 * MIB < parse_quantity(seen["usage"]["current"]) < 96 * MIB
            assert seen["usage"]["quantity"] == "working-set"
            assert seen["lastDecision"]["kind"] == "hold"
            (ready,) = (each for each in status["conditions"] if each["type"] == "Ready")
            assert (ready["status"], ready["reason"]) == ("False", "NoHistory")
