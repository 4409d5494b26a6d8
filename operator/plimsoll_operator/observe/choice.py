"""The usage source that the settings name.

In: `EngineSettings`. Out: a `UsageSource` with its connections made, and the Prometheus API for backfill.
"""

from plimsoll_operator.engine.messages import EngineSettings
from plimsoll_operator.observe.access import cluster_access
from plimsoll_operator.observe.kubelet import KubeletSettings, KubeletSource
from plimsoll_operator.observe.metrics_api import MetricsApiSource
from plimsoll_operator.observe.prometheus import PrometheusApi, PrometheusSource
from plimsoll_operator.observe.source import SourceError, UsageSource


def usage_source(settings: EngineSettings) -> UsageSource:
    """Return the source that `settings.usage_source` names; raises `SourceError` for an unknown one."""
    match settings.usage_source:
        case "metrics-api":
            access = cluster_access(settings.kubeconfig_context)
            return MetricsApiSource(access.api_client(settings.source_timeout_seconds))
        case "kubelet":
            return _kubelet_source(settings)
        case "prometheus":
            if not settings.prometheus_url:
                raise SourceError("the usage source prometheus needs the address of Prometheus")
            return PrometheusSource(prometheus_api(settings), settings.interval_seconds)
        case other:
            raise SourceError(f"unknown usage source {other!r}: metrics-api, kubelet or prometheus")


def prometheus_api(settings: EngineSettings) -> PrometheusApi:
    """Return the query API at `settings.prometheus_url`."""
    return PrometheusApi(
        settings.prometheus_url,
        settings.source_timeout_seconds,
        settings.prometheus_token_file,
        settings.prometheus_ca_file,
    )


def _kubelet_source(settings: EngineSettings) -> KubeletSource:
    access = cluster_access(settings.kubeconfig_context)
    timeout = settings.source_timeout_seconds
    return KubeletSource(
        access.api_client(timeout),
        access.kubelet_clients(timeout, settings.kubelet_ca_file, insecure=settings.kubelet_insecure),
        KubeletSettings(settings.kubelet_port, settings.kubelet_concurrency, settings.node_proxy),
    )
