"""Alerts are read by Prometheus' own promtool, and some are played: they fire when they should.

In: the PrometheusRule as it is rendered, promtool of Debian's package (kind/promtool.sh). Out: what
`promtool check rules` and `promtool test rules` say. Which metrics and labels there are is
tests/chart/test_monitoring.py's.
"""

import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.chart import EVERYTHING, Object, render
from builders.others_tools import MissingError, prometheus_programs

LABELS = {"namespace": "shop", "kind": "Deployment", "workload": "cart", "container": "app"}
SERIES = "{" + ",".join(f'{name}="{value}"' for name, value in LABELS.items()) + "}"


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        return prometheus_programs() / "promtool"
    except MissingError as missing:
        pytest.skip(str(missing))


def groups() -> Object:
    return {"groups": copy.deepcopy(render(EVERYTHING).one("PrometheusRule")["spec"]["groups"])}


def said(promtool: Path, directory: Path, what: str, **files: object) -> subprocess.CompletedProcess[str]:
    """What `promtool check|test rules` says of the first file."""
    for name, content in files.items():
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return subprocess.run(
        [promtool, what, "rules", f"{next(iter(files))}.yaml"],
        cwd=directory, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def played(series: dict[str, str], alert: str, at: str, *fires: Object) -> Object:
    """A unit test of promtool's: these series, a sample a minute, and what of an alert fires then."""
    asked = {"eval_time": at, "alertname": alert, "exp_alerts": list(fires)}
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    return {"interval": "1m", "input_series": inputs, "alert_rule_test": [asked]}


def rule(alert: str) -> dict[str, Any]:
    (found,) = (each for each in groups()["groups"][0]["rules"] if each["alert"] == alert)
    return dict(found)


def test_promtool_reads_every_rule(promtool: Path, tmp_path: Path):
    done = said(promtool, tmp_path, "check", rules=groups())
    count = sum(len(each["rules"]) for each in groups()["groups"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {count} rules found" in done.stdout


def test_promtool_refuses_what_only_looks_like_promql(promtool: Path, tmp_path: Path):
    broken = groups()
    broken["groups"][0]["rules"][0]["expr"] = "max(plimsoll_leader > 0"
    assert said(promtool, tmp_path, "check", rules=broken).returncode != 0


def nobody_leads() -> list[Object]:
    """Nobody for five minutes, nobody to ask at all, and one of two who leads."""
    fires = {
        "exp_labels": {"severity": "critical"},
        "exp_annotations": rule("PlimsollNobodyLeads")["annotations"],
    }
    name = "PlimsollNobodyLeads"
    standby = {'plimsoll_leader{pod="a"}': "0x30", 'plimsoll_leader{pod="b"}': "0x30"}
    return [
        played(standby, name, "4m"),
        played(standby, name, "6m", fires),
        played({}, name, "6m", fires),
        played({**standby, 'plimsoll_leader{pod="b"}': "1x30"}, name, "20m"),
        played({**standby, 'plimsoll_leader{pod="b"}': "1x10 0x20"}, name, "18m", fires),
    ]


def leak_ends_soon() -> list[Object]:
    """Of two replicas that tell of the same container one alert comes, with words in it."""
    summary = "Container app of shop/Deployment/cart leaks and reaches its limit in 1h 30m 0s."
    fires = {
        "exp_labels": {"severity": "warning", **LABELS},
        "exp_annotations": {
            "summary": summary,
            "description": rule("PlimsollLeakEndsSoon")["annotations"]["description"],
        },
    }
    metric = f"plimsoll_leak_seconds_to_limit{SERIES[:-1]}"
    soon = {f'{metric},pod="a"}}': "5400x30", f'{metric},pod="b"}}': "5400x30"}
    return [
        played(soon, "PlimsollLeakEndsSoon", "4m"),
        played(soon, "PlimsollLeakEndsSoon", "10m", fires),
        played({f'{metric},pod="a"}}': "9000x30"}, "PlimsollLeakEndsSoon", "20m"),
    ]


def oom_kills() -> list[Object]:
    """No kill within an hour, and one a minute."""
    name, series = "PlimsollOomKills", 'plimsoll_oom_kills_total{pod="a"}'
    words = rule(name)["annotations"]
    fires = {
        "exp_labels": {"severity": "warning", "pod": "a"},
        "exp_annotations": {**words, "summary": words["summary"].replace("{{ $value | humanize }}", "60")},
    }
    return [played({series: "0x120"}, name, "100m"), played({series: "0+1x120"}, name, "100m", fires)]


def of_a_pod(name: str) -> Object:
    words = {key: each.replace("{{ $labels.pod }}", "a") for key, each in rule(name)["annotations"].items()}
    return {"exp_labels": {"severity": "warning", "pod": "a"}, "exp_annotations": words}


def somebody_is_away() -> list[Object]:
    """Agents for the operator, the operator for an agent, Redis for a replica: for longer than a moment."""
    away = rule("PlimsollAgentsAway")["annotations"]
    fires = {
        "exp_labels": {"severity": "warning"},
        "exp_annotations": {**away, "summary": away["summary"].replace("{{ $value }}", "2")},
    }
    agents = 'plimsoll_agents{pod="a",presence="away"}'
    found = [
        played({agents: "2x40"}, "PlimsollAgentsAway", "10m"),
        played({agents: "2x40"}, "PlimsollAgentsAway", "20m", fires),
        played({agents: "2x10 0x30"}, "PlimsollAgentsAway", "20m"),
    ]
    for name, metric, late, bad, well in (
        ("PlimsollOperatorAway", "plimsoll_agent_attending", "20m", 0, 1),
        ("PlimsollMemoryNotShared", "plimsoll_memory_redis_away", "35m", 1, 0),
    ):
        both = {f'{metric}{{pod="a"}}': f"{bad}x60", f'{metric}{{pod="b"}}': f"{well}x60"}
        found += [
            played(both, name, "10m"),
            played(both, name, late, of_a_pod(name)),
            played({f'{metric}{{pod="a"}}': f"{bad}x10 {well}x50"}, name, late),
        ]
    return found


def the_memory_takes_nothing() -> list[Object]:
    name, series = "PlimsollMemoryTakesNothing", 'plimsoll_memory_unwritten_total{pod="a"}'
    return [
        played({series: "0x120"}, name, "100m"),
        played({series: "0+1x120"}, name, "100m", of_a_pod(name)),
    ]


def the_memory_falls_behind() -> list[Object]:
    """Where Redis is away others say so, and what is sent now and then is not behind."""
    name, waiting, away = "PlimsollMemoryFallsBehind", "plimsoll_memory_waiting", "plimsoll_memory_redis_away"
    behind, there = {f'{waiting}{{pod="a"}}': "21000+10x180"}, {f'{away}{{pod="a"}}': "0x180"}
    return [
        played(behind | there, name, "50m"),
        played(behind | there, name, "70m", of_a_pod(name)),
        played(behind | {f'{away}{{pod="a"}}': "0x100 1x80"}, name, "130m"),
        played({f'{waiting}{{pod="a"}}': "21000x30 400 21000x150"} | there, name, "140m"),
    ]


def the_memory_learns_nothing() -> list[Object]:
    """Steps that fail now and then among others are told nobody; who learns nothing at all is."""
    name, metric = "PlimsollMemoryLearnsNothing", "plimsoll_memory_learn_steps_total"
    failing = {f'{metric}{{pod="a",outcome="failed"}}': "0+1x240"}
    fires = {"exp_labels": {"severity": "warning"}, "exp_annotations": rule(name)["annotations"]}
    return [
        played(failing, name, "180m", fires),
        played(failing | {f'{metric}{{pod="b",outcome="done"}}': "0+1x240"}, name, "180m"),
        played({f'{metric}{{pod="a",outcome="failed"}}': "0x60 1x180"}, name, "100m"),
    ]


def fits_are_set_aside() -> list[Object]:
    name = "PlimsollFitsSetAside"
    of_two = {
        f'plimsoll_worker_jobs_total{{pod="{pod}",outcome="{outcome}"}}': values
        for pod, outcome, values in (
            ("a", "fitted", "0+5x120"), ("a", "aside", "0x20 1x100"), ("b", "aside", "0x120"),
        )
    }  # fmt: skip
    fires = {"exp_labels": {"severity": "warning"}, "exp_annotations": rule(name)["annotations"]}
    return [played(of_two, name, "15m"), played(of_two, name, "40m", fires), played(of_two, name, "100m")]


def the_certificate_ends() -> list[Object]:
    """Thirteen days are too few, fifteen are not; a replica without a webhook (0) has none."""
    name, metric = "PlimsollWebhookCertificateEnds", "plimsoll_webhook_certificate_end_timestamp_seconds"
    words = rule(name)["annotations"]
    left = "12d 23h 40m 0s"
    fires = {
        "exp_labels": {"severity": "warning"},
        "exp_annotations": {
            **words, "summary": words["summary"].replace("{{ $value | humanizeDuration }}", left)
        },
    }  # fmt: skip
    ends = {days: f"{days * 86_400}x60" for days in (0, 13, 15)}
    return [
        played({f'{metric}{{pod="a"}}': ends[15], f'{metric}{{pod="b"}}': ends[0]}, name, "30m"),
        played({f'{metric}{{pod="a"}}': ends[13], f'{metric}{{pod="b"}}': ends[15]}, name, "20m", fires),
        played({f'{metric}{{pod="a"}}': ends[13]}, name, "10m"),
        played({f'{metric}{{pod="a"}}': "86400x15 1296000x30"}, name, "30m"),
    ]


def the_webhook_is_not_reached() -> list[Object]:
    """Pods come and no review does, of either replica; a few pods, or one review, prove nothing."""
    name = "PlimsollWebhookNotReached"
    fires = {"exp_labels": {"severity": "warning"}, "exp_annotations": rule(name)["annotations"]}
    due = {f'plimsoll_webhook_due_pods_total{{pod="{pod}"}}': "0+1x600" for pod in "ab"}
    reviews = {f'plimsoll_webhook_requests_total{{pod="{pod}",outcome="unchanged"}}': "0x600" for pod in "ab"}
    one = {'plimsoll_webhook_requests_total{pod="b",outcome="unchanged"}': "0x300 1x300"}
    few = {'plimsoll_webhook_due_pods_total{pod="a"}': "0+1x5 5x600"}
    return [
        played({**due, **reviews}, name, "20m"),
        played({**due, **reviews}, name, "8h", fires),
        played(due, name, "8h", fires),
        played({**due, **reviews, **one}, name, "8h"),
        played({**few, **reviews}, name, "5h"),
        played(reviews, name, "8h"),
    ]


PLAYS = [
    nobody_leads, leak_ends_soon, oom_kills, somebody_is_away, the_memory_takes_nothing,
    the_memory_falls_behind,
    the_memory_learns_nothing, fits_are_set_aside,
    the_certificate_ends, the_webhook_is_not_reached,
]  # fmt: skip


@pytest.mark.parametrize("tests", PLAYS, ids=lambda each: each.__name__)
def test_an_alert_fires_when_it_should(promtool: Path, tmp_path: Path, tests):
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests()}
    done = said(promtool, tmp_path, "test", played=whole, rules=groups())
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_play_that_expects_another_alert_fails(promtool: Path, tmp_path: Path):
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m"}
    wrong = {**whole, "tests": [played({}, "PlimsollNobodyLeads", "6m")]}
    assert said(promtool, tmp_path, "test", played=wrong, rules=groups()).returncode != 0
