"""The chart as files: Helm's own lint, the CRDs it carries, and values that are documented and typed."""

import json
import re
from itertools import pairwise

import helm_python
import pytest
import yaml

from builders.chart import CHART, VALUE_SETS, loaded, render
from plimsoll_operator.crds import load, shipped
from plimsoll_operator.settings import OperatorSettings

# What the chart sets by itself, or what makes no sense in a pod.
NOT_VALUES = {
    "namespace",
    "identity",
    "kubeconfig_context",
    "metrics_address",
    "metrics_port",
    "webhook_port",
    "webhook_cert_dir",
    "agents_namespace",
    "agents_cert_dir",
    "agents_client_name",
    "agents_host",
    "agents_per_second",
    "agents_per_second_of_address",
    "agents_port",
    "agents_server_name",
    "agents_service_account",
    "forecast_redis",
    "memory_file",
    "memory_redis",
    "own_weights_file",
    "placement_gates",
}
KEY_LINE = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
WARNING = 2


@pytest.mark.parametrize("name", VALUE_SETS)
def test_helm_finds_nothing_to_say(name: str):
    report = helm_python.lint(CHART, dict(VALUE_SETS[name]), strict=True)
    assert [each for each in report["messages"] if each["severity"] >= WARNING] == []
    assert report["errors"] == []


def test_the_crds_are_the_operators_own():
    carried = {each.name: each.read_text() for each in (CHART / "files" / "crds").iterdir()}
    assert carried == shipped(), "run `make crds`"


def test_crds_are_installed_kept_and_otherwise_unchanged():
    rendered = render().of_kind("CustomResourceDefinition")
    assert [each["metadata"]["annotations"] for each in rendered] == [{"helm.sh/resource-policy": "keep"}] * 4
    assert [each["spec"] for each in rendered] == [each["spec"] for each in load()]


def test_crds_can_go_with_the_release_or_be_left_to_somebody_else():
    gone = render({"crds": {"keep": False}}).of_kind("CustomResourceDefinition")
    assert not any(each["metadata"].get("annotations") for each in gone)
    assert render({"crds": {"install": False}}).of_kind("CustomResourceDefinition") == []


def test_every_value_has_a_line_that_says_what_it_does():
    lines = (CHART / "values.yaml").read_text().splitlines()
    for above, line in pairwise(lines):
        if KEY_LINE.match(line):
            assert above.lstrip().startswith("#"), f"no comment above `{line.strip()}`"


# Were values once: the schema lets them through to templates/_checks.tpl, which says what they are now.
GONE = {".agent.act": {"debugfs"}}


def test_every_value_is_in_the_schema_and_the_other_way_round():
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(values: dict, node: dict, path: str) -> None:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        if node.get("additionalProperties") is not False or "properties" not in node:
            return  # a map, whose names are the user's
        known = set(node["properties"]) - GONE.get(path, set())
        assert known >= set(values), f"{path} is not in the schema"
        parts = ("operator", "agent", "worker", "placement.sweeper")
        maps = ("resources", "podSecurityContext", "containerSecurityContext", "dnsConfig")
        if path in {f".{part}.{each}" for part in parts for each in maps}:
            return  # of what Kubernetes has, in which more may be set
        assert known == set(values), f"{path}: in the schema only"
        for name, inner in values.items():
            if isinstance(inner, dict):
                compare(inner, node["properties"][name], f"{path}.{name}")

    compare(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "")


def test_settings_are_the_operators_with_its_defaults():
    given = loaded().values["operator"]["settings"]
    snake = {re.sub(r"([A-Z])", lambda m: "_" + m[1].lower(), name): each for name, each in given.items()}
    assert set(snake) == set(OperatorSettings.model_fields) - NOT_VALUES
    assert OperatorSettings(**snake) == OperatorSettings()


def test_settings_reach_the_operator_as_it_reads_them():
    env = render(VALUE_SETS["everything"]).one("Deployment", "-operator")["spec"]["template"]["spec"][
        "containers"
    ][0]["env"]
    given = {
        each["name"]: each["value"]
        for each in env
        if each["name"].startswith("PLIMSOLL_") and "value" in each
    }
    settings = OperatorSettings(
        **{name.removeprefix("PLIMSOLL_").lower(): each for name, each in given.items()}
    )
    assert settings.usage_source == "prometheus"
    assert settings.prometheus_url == "http://prometheus.monitoring.svc:9090"
    assert settings.max_resizes_per_minute == 10_000_000
    assert (settings.metrics_port, settings.webhook_port) == (8080, 8443)


def test_the_chart_has_the_distributions_version():
    from importlib.metadata import version

    assert loaded().metadata["appVersion"] == version("plimsoll")
