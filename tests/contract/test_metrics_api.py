"""The metrics API behind a real aggregator, read by the operator's own source."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from builders.apiserver import ApiServer
from builders.metricsapi import MetricsApi, register_metrics_api, running_metrics_api
from plimsoll.usage.sample import Quantity
from plimsoll_operator.observe.metrics_api import MetricsApiSource

pytestmark = pytest.mark.apiserver


@pytest.fixture
def metrics(apiserver: ApiServer, tmp_path) -> Iterator[MetricsApi]:
    with running_metrics_api(tmp_path) as api:
        register_metrics_api(apiserver.client(), api, tmp_path / "metrics-ca.crt")
        yield api
        apiserver.client().delete("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io")


def test_the_source_reads_what_the_aggregator_passes_on(apiserver: ApiServer, metrics: MetricsApi):
    metrics.usage = {("shop", "web-1"): {"app": 3 * 2**20, "proxy": 2**20}, ("shop", "web-2"): {"app": 2**21}}
    client: httpx.Client = apiserver.client()
    fetched = MetricsApiSource(client).fetch(0.0, frozenset({Quantity.WORKING_SET}))
    assert fetched.problems == ()
    assert set(fetched.batch.names) == {
        ("shop", "web-1", "app"),
        ("shop", "web-1", "proxy"),
        ("shop", "web-2", "app"),
    }
    assert np.nansum(fetched.batch.column(Quantity.WORKING_SET)) == 6 * 2**20
