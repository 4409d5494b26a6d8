"""Alerts and the dashboard name metrics and labels that are really served."""

import json
import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from builders.chart import EVERYTHING, Object, render
from plimsoll_nodeagent.serve.exposition import Exposition
from plimsoll_nodeagent.serve.metrics import DEFINITIONS as AGENT
from plimsoll_operator.forecasters.worker_serving import DEFINITIONS as WORKER
from plimsoll_operator.serve.metrics import DEFINITIONS as OPERATOR

SERVED = (*OPERATOR, *AGENT, *WORKER)
LABELS = {each.name: set(each.labels) for each in SERVED}
HISTOGRAMS = {each.name for each in OPERATOR if each.kind.value == "histogram"}
COUNTERS = {each.name for each in SERVED if each.kind.value == "counter"}
# Added by Prometheus or by the monitors' relabelling.
OF_THE_SCRAPE = {"pod", "namespace", "instance", "job", "kube_node", "le"}
METRIC = re.compile(r"\bplimsoll_[a-z0-9_]+")
MATCHED = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
GROUPED = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")


def base(metric: str) -> str:
    """The name in the table of a series' name."""
    for suffix in ("_bucket", "_sum", "_count"):
        if metric.removesuffix(suffix) in HISTOGRAMS:
            return metric.removesuffix(suffix)
    return metric


def problems(expression: str) -> Iterator[str]:
    names = {base(each) for each in METRIC.findall(expression)}
    if not names:
        yield "no metric of ours"
    yield from (f"{each} is not served" for each in names - LABELS.keys())
    labels = set().union(*(LABELS.get(each, set()) for each in names)) | OF_THE_SCRAPE
    used = {*MATCHED.findall(expression), *re.findall(r"\w+", ",".join(GROUPED.findall(expression)))}
    yield from (f"no label {each}" for each in used - labels)
    for name in names & COUNTERS:
        if not re.search(rf"(?:rate|increase)\({name}\b", expression):
            yield f"{name} is a counter without a rate"


def rules() -> list[Object]:
    return render(EVERYTHING).one("PrometheusRule")["spec"]["groups"][0]["rules"]


@pytest.mark.parametrize("rule", rules(), ids=lambda each: each["alert"])
def test_alert(rule: Object):
    assert list(problems(rule["expr"])) == []
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description"}
    named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    metrics = [base(each) for each in METRIC.findall(rule["expr"])]
    assert named <= set().union(*(LABELS[each] for each in metrics)) | OF_THE_SCRAPE


def test_alert_labels_have_values_that_the_operator_sets():
    from pathlib import Path

    import plimsoll.coordinate
    import plimsoll_operator

    where = (plimsoll_operator.__path__[0], plimsoll.coordinate.__path__[0])
    code = "\n".join(each.read_text() for path in where for each in Path(path).rglob("*.py"))
    for rule in rules():
        for value in re.findall(r"(?:=~|!=|=)\"([^\"]+)\"", rule["expr"]):
            for each in value.split("|"):
                assert each.isdigit() or f'"{each}"' in code, f"{rule['alert']}: nothing is called {each}"


@pytest.mark.parametrize("name", ["PlimsollAgentBlind", "PlimsollAgentsAbsent"])
def test_what_tells_of_a_blind_agent_is_served_by_one(name: str):
    (rule,) = (each for each in rules() if each["alert"] == name)
    families = text_string_to_metric_families(Exposition(lambda: None, "1.2.3").text().decode())
    served = {sample.name: sample.value for family in families for sample in family.samples}
    assert [served.get(each) for each in METRIC.findall(rule["expr"])] == [0.0]


def test_an_agent_that_sees_no_pods_is_not_ready_and_is_not_restarted():
    (agent,) = render().one("DaemonSet")["spec"]["template"]["spec"]["containers"]
    asked = {each: agent[each]["httpGet"]["path"] for each in agent if each.endswith("Probe")}
    assert asked == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def panels() -> list[Object]:
    return json.loads(render(EVERYTHING).one("ConfigMap", "-dashboard")["data"]["plimsoll.json"])["panels"]


@pytest.mark.parametrize("panel", panels(), ids=lambda each: each["title"])
def test_panel(panel: Object):
    for target in panel["targets"]:
        assert list(problems(target["expr"])) == []


def test_panels_do_not_lie_on_each_other():
    taken = [
        (x, y)
        for place in (each["gridPos"] for each in panels())
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({each["id"] for each in panels()}) == len(panels())


def test_the_words_of_a_wrong_expression():
    assert list(problems("sum by (kind) (plimsoll_loops_total)")) == [
        "no label kind",
        "plimsoll_loops_total is a counter without a rate",
    ]
    assert list(problems("plimsoll_nothing > 0")) == ["plimsoll_nothing is not served"]
    assert list(problems("up == 0")) == ["no metric of ours"]


def test_monitors_find_the_ports_they_name():
    rendered = render(EVERYTHING)
    monitor, service = rendered.one("ServiceMonitor")["spec"], rendered.one("Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {each["port"] for each in monitor["endpoints"]} <= {
        each["name"] for each in service["spec"]["ports"]
    }
    pods, template = (
        rendered.one("PodMonitor", "-agent")["spec"],
        rendered.one("DaemonSet")["spec"]["template"],
    )
    assert pods["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    ports = {each["name"] for each in template["spec"]["containers"][0]["ports"]}
    assert {each["port"] for each in pods["podMetricsEndpoints"]} <= ports
