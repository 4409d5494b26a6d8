"""Write the pages that are made, not typed: `crds.md`, `metrics.md`, `rbac.md`, `results.md`; and the tables
of `benchmark.md`, `node-benchmark.md`, `pages.md` and `coordination.md`, pages that are typed.

    python docs/generate.py            write them
    python docs/generate.py --check    exit 1 and name those that are stale
    python docs/generate.py --results  take over bench/results/*.json first

In: the typed models, the operator's and the agent's tables of metrics, docs/results/*.json. Out: Markdown. A
test runs `--check`.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ageing import age_apart, with_ages
from benchmark_tables import with_tables
from fault_tables import with_faults
from node_tables import with_node_tables
from page_tables import with_page_tables

from plimsoll.api.crd import crd
from plimsoll.api.fields import VALIDATIONS
from plimsoll.api.v1alpha1 import API_VERSION, KINDS, Kind
from plimsoll_nodeagent.rights import RIGHTS as AGENT_RIGHTS
from plimsoll_nodeagent.serve import metrics as agent
from plimsoll_operator.forecasters.worker_serving import DEFINITIONS as WORKER
from plimsoll_operator.rights import RIGHTS, SWEEPER_RIGHTS, Right
from plimsoll_operator.serve.metrics import DEFINITIONS, MetricDefinition

DOCS = Path(__file__).parent
BENCH = DOCS.parent / "bench" / "results"
LEFT = ("-quick", "-dirty")  # results that are not taken over
MADE = "<!-- Made by docs/generate.py; do not edit. -->\n\n"

RESULTS_INTRO = """# Results

Every figure here was written by a benchmark (`make bench`) into a JSON file that is committed beside this
page (`docs/results/`), and taken over by `make docs-results`; none is typed. A range in brackets is the 95 %
interval. Peers were measured in the same run as Plimsoll. Each file of results names the files that were
measured; where one of them is another now, the results are marked as **older than what they measure**, and
`make results-stale` names what has changed.

## Rules of the replay

A recorded series is replayed in bins of five minutes, each the maximum of its samples. A limit may depend on
earlier bins of its own series only; it is decided once an hour and may be raised in between. A bin whose
usage is above the limit is an OOM kill: the limit must then rise to at least 1.2 times, and by 100 MiB, until
the end of the hour, and fall below that within a day only with a reason. Scored are OOM kills in 1000
container-days; slack, the mean of (limit - usage) / limit over bins that fit; and changes of more than 1 % a
container-day. Series with a median below 16 MiB are left out. The setting is fixed beforehand and never
fitted to the series that are replayed.
"""


def pages(docs: Path = DOCS) -> dict[str, str]:
    """File name -> text of every page that is made."""
    results = with_ages(read_results(docs / "results"))
    made = {
        "crds.md": MADE + crds_page(),
        "metrics.md": MADE + metrics_page(),
        "rbac.md": MADE + rbac_page(),
        "results.md": MADE + results_page(results),
    }
    benchmark = docs / "benchmark.md"
    if benchmark.is_file():
        made["benchmark.md"] = with_tables(
            benchmark.read_text("utf-8"), results.get("forecast"), results.get("ablation")
        )
    node_benchmark = docs / "node-benchmark.md"
    if node_benchmark.is_file():
        made["node-benchmark.md"] = with_node_tables(node_benchmark.read_text("utf-8"), results.get("node"))
    page_benchmark = docs / "pages.md"
    if page_benchmark.is_file():
        made["pages.md"] = with_page_tables(page_benchmark.read_text("utf-8"), results.get("pages"))
    coordination = docs / "coordination.md"
    if coordination.is_file():
        made["coordination.md"] = with_faults(coordination.read_text("utf-8"), results.get("faults"))
    readme = docs.parent / "README.md"
    if readme.is_file():
        made["../README.md"] = with_outcome(readme.read_text("utf-8"), results.get("demo"))
    return made


def stale(docs: Path = DOCS) -> list[str]:
    """Names of the pages whose text is not what would be written now.

    By how many files a result is old may be what it was when the page was written, whether it is old may not.
    """
    return [
        name
        for name, text in pages(docs).items()
        if not (docs / name).is_file() or age_apart((docs / name).read_text("utf-8")) != age_apart(text)
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars within cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


# -- the CRDs -----------------------------------------------------------------------------------------------


def crds_page() -> str:
    """All four kinds, field by field."""
    seen: dict[str, Mapping[str, Any]] = {}
    head = (
        f"# Kinds and fields\n\nAll kinds are of `{API_VERSION}`; the YAML ships in the operator's package.\n"
    )
    return "\n".join([head, *(_kind_section(kind, seen) for kind in KINDS)])


def _kind_section(kind: Kind, seen: dict[str, Mapping[str, Any]]) -> str:
    made = crd(kind)
    whole = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    scope = "one namespace" if kind.namespaced else "the whole cluster"
    columns = ", ".join(column.name for column in kind.columns)
    names = f"Short name `{kind.short_name}`, plural `{kind.plural}`; lives in {scope}."
    lines = [
        f"## {kind.name}\n",
        f"{whole['description']}\n",
        f"{names} `kubectl get {kind.short_name}` shows {columns}.\n",
        *(_part_section(kind, part, whole["properties"][part], seen) for part in ("spec", "status")),
    ]
    return "\n".join(lines)


def _part_section(kind: Kind, part: str, node: Mapping[str, Any], seen: dict[str, Mapping[str, Any]]) -> str:
    """Fields of spec or status; those that are word for word a former kind's are only named."""
    fresh, same = {}, []
    for name, inner in node.get("properties", {}).items():
        known = seen.setdefault(f"{part}.{name}", inner)
        if known is inner or known != inner:
            fresh[name] = inner
        else:
            same.append(f"`{part}.{name}`")
    lines = [f"### {kind.name} {part}\n"]
    if same:
        lines.append(f"As in {KINDS[0].name}: {', '.join(same)}.\n")
    if fresh:
        lines.append(table(("field", "type", "default", "meaning"), _rows(part, {"properties": fresh})))
    if not node.get("properties"):
        lines.append(node["description"] + "\n")
    refusals = list(dict.fromkeys(_refusals(part, {**node, "properties": fresh})))
    if refusals and part == "spec":  # people write no status
        lines.append("Refused by the API server, with these words:\n")
        lines.append(table(("field", "sentence"), refusals))
    return "\n".join(lines)


def _rows(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    required = node.get("required", ())
    for name, inner in node.get("properties", {}).items():
        here = f"{path}.{name}"
        default = inner.get("default")
        shown = f"`{json.dumps(default)}`" if default not in (None, {}) else ""
        meaning = inner.get("description", "") + (" **Required.**" if name in required else "")
        yield f"`{here}`", _type(inner), shown, meaning
        yield from _rows(here, inner)
        if "items" in inner:
            yield from _rows(f"{here}[]", inner["items"])


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return " ".join(f"`{value}`" for value in node["enum"])
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "minimum" in node and "maximum" in node:
        least = "(" if node.get("exclusiveMinimum") else "["
        return f"{node['type']} {least}{node['minimum']:.10g}, {node['maximum']:.10g}]"
    return str(node["type"])


def _refusals(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for each in node.get(VALIDATIONS, ()):
        yield f"`{path}{each.get('fieldPath', '')}`", each["message"]
    for name, inner in node.get("properties", {}).items():
        yield from _refusals(f"{path}.{name}", inner)
    if "items" in node:
        yield from _refusals(f"{path}[]", node["items"])


# -- the metrics --------------------------------------------------------------------------------------------


AGENT_INTRO = """
## Node agent

Served by the node agent on `/metrics` (port: `--port`). cgroupfs knows no names: a container is named by its
pod's uid and its container id, and kube-state-metrics' `kube_pod_container_info` joins them to names. What a
kernel does not tell is not served, instead of zero.

"""


WORKER_INTRO = """
## Worker

Served by `plimsoll-worker` on `/metrics` (port: `--metrics-port`, in the chart `worker.metricsPort`).

"""


def metrics_page() -> str:
    """Everything that the operator's, the agent's and the worker's /metrics serve."""
    head = "# Metrics\n\n## Operator\n\nServed by the operator on `/metrics` (port: `--metrics-port`).\n\n"
    shells = head + _metrics_table(DEFINITIONS) + AGENT_INTRO + _metrics_table(agent.DEFINITIONS)
    return shells + WORKER_INTRO + _metrics_table(WORKER)


def _metrics_table(definitions: Iterable[MetricDefinition | agent.MetricDefinition]) -> str:
    rows = (
        (
            f"`{each.name}`",
            each.kind.value,
            each.unit,
            " ".join(f"`{label}`" for label in each.labels),
            each.description,
        )
        for each in definitions
    )
    return table(("name", "kind", "unit", "labels", "meaning"), rows)


# -- the results --------------------------------------------------------------------------------------------


def read_results(directory: Path) -> dict[str, dict[str, Any]]:
    """Name of each benchmark -> what it wrote."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(directory.glob("*.json"))}


def results_page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """One table a benchmark; peers are columns."""
    parts = [RESULTS_INTRO]
    parts += [_results_section(name, document) for name, document in results.items()]
    if not results:
        parts.append("No benchmark has been taken over yet.\n")
    return "\n".join(parts)


def _results_section(name: str, document: Mapping[str, Any]) -> str:
    machine, rows = document["machine"], document["rows"]
    peers = list(dict.fromkeys(peer for row in rows for peer in row.get("against") or {}))
    dirty = " and changes that are in no commit" if document["commit"].endswith("+") else ""
    ran = (
        f"Commit `{document['commit']}`{dirty}, seed {document['seed']}, {document['seconds']:.0f} s on "
        f"{machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, kernel {machine['kernel']}.{document.get('age', '')}\n"
    )
    head = ("figure", "unit", "Plimsoll", *peers, "n")
    body = table(head, (_result_row(row, peers) for row in rows))
    commands = dict.fromkeys(row["command"] for row in rows if row.get("command"))
    how = "".join(f"    {command}\n" for command in commands)
    return f"## {name}\n\n{ran}\n{body}" + (f"\nMeasured by:\n\n{how}" if how else "")


def _result_row(row: Mapping[str, Any], peers: Sequence[str]) -> tuple[str, ...]:
    against = row.get("against") or {}
    value = _figure(row["value"]) if row["value"] is not None else f"not measured: {row.get('why', '')}"
    if row.get("low") is not None and row.get("high") is not None:
        value += f" [{_figure(row['low'])}, {_figure(row['high'])}]"
    if row.get("commit"):
        value += f" (at `{row['commit']}`{row.get('age', '')})"
    value += _how_sure(row)
    spreads = row.get("spreads") or {}
    each = (_spread(against.get(peer), spreads.get(peer, (None, None))) for peer in peers)
    return (f"`{row['name']}`", row["unit"], value, *each, str(row.get("n", "")))


def _spread(value: float | None, bounds: Sequence[float | None]) -> str:
    low, high = bounds
    inside = "" if low is None or high is None else f" [{_figure(low)}, {_figure(high)}]"
    return "" if value is None else f"{_figure(value)}{inside}"


def _how_sure(row: Mapping[str, Any]) -> str:
    """What is to be known of a figure besides its interval."""
    share = row.get("finite_draws")
    said = [
        "1 group of siblings: no interval" if row.get("groups") == 1 else "",
        f"in {100 * share:.2g} % of the draws" if share is not None and share < 1 else "",
        row.get("note") or "",
    ]
    words = "; ".join(filter(None, said))
    return f" ({words})" if words else ""


# -- the README's table -------------------------------------------------------------------------------------

OUTCOME = re.compile(r"(<!-- outcome: made by docs/generate.py -->\n).*?(<!-- end of outcome -->)", re.DOTALL)
ARMS = {
    "static": "static limit (1.2 times the p99 of the warm-up)",
    "vpa": "VPA's algorithm",
    "plimsoll": "**Plimsoll**",
}
OUTCOME_HEAD = (
    "who sets the limit",
    "OOM kills",
    "per 1000 container-days",
    "slack",
    "changes per container-day",
)


def with_outcome(readme: str, demo: Mapping[str, Any] | None) -> str:
    """The README with the demo's measured table between its two marks; as it was where none is on record."""
    if demo is None:
        return readme
    figures = {row["name"]: {"plimsoll": row["value"], **row["against"]} for row in demo["rows"]}
    made = table(OUTCOME_HEAD, (_outcome_row(arm, name, figures) for arm, name in ARMS.items()))
    return OUTCOME.sub(lambda marks: f"{marks[1]}{made}{marks[2]}", readme)


def _outcome_row(arm: str, name: str, figures: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    kills, rate, slack, changes = (figures[f"demo.{key}"][arm] for key in ("ooms", "oom", "slack", "changes"))
    return name, f"{kills:.0f}", f"{rate:.0f}", f"{slack:.3f}", f"{changes:.1f}"


def _figure(value: float) -> str:
    """Four figures that matter, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


SWEEPER_RIGHTS_INTRO = """## The sweeper

A pod of its own that lifts our scheduling gate where its time is over and the operator is dead
({doc}`placement`). Who may patch pods may change their images: a ValidatingAdmissionPolicy of the chart holds
this account and the operator's to lifting that gate.
"""

AGENT_RIGHTS_INTRO = """## An agent that acts

Cluster-wide, because pods and policies live in every namespace. RBAC cannot hold an account that all agents
share to one node; the chart's ValidatingAdmissionPolicy does, by the node that the API server knows of each
pod's token.
"""

RBAC_INTRO = """# Rights

What the chart grants. The operator's table is the code's own (`operator/plimsoll_operator/rights.py`): tests
compare it with the rendered roles and with the calls that the code makes, and run the operator with these
rights, and no others, on a real API server.

An **agent** that only watches has none: it asks the API server for nothing, its account is bound to no role,
no token is mounted. It runs without capabilities as an unprivileged user, and mounts the node's cgroup v2
hierarchy read-only. One that acts (`agent.act.enabled`) has those of the second table, of which none changes
a pod.

**People.** Whoever has the built-in role `view` reads policies and profiles; who has `edit` or `admin` in a
namespace also writes its MemoryPolicies and nothing else of ours (`rbac.aggregate`). The ClusterRole and the
Role that end in `-operate` (policies of the whole cluster, `plimsoll restore`; `plimsoll pause`) are bound to
nobody: bind them to who runs Plimsoll, here a group `platform-team`:

```sh
kubectl create clusterrolebinding plimsoll-operate --clusterrole=plimsoll-operate --group=platform-team
kubectl -n plimsoll-system create rolebinding plimsoll-operate --role=plimsoll-operate --group=platform-team
kubectl auth can-i create clustermemorypolicies --as=anna --as-group=platform-team
```

What each component may do, as the API server sees it:

```sh
kubectl auth can-i --list --as=system:serviceaccount:plimsoll-system:plimsoll-operator
kubectl auth can-i --list --as=system:serviceaccount:plimsoll-system:plimsoll-agent
```

## The operator
"""


def rbac_page() -> str:
    """The operator's rights with their reasons."""
    head = ("group", "resource", "verbs", "where", "for what", "needed")
    agents = (
        (f"`{each.group or 'core'}`", f"`{each.resource}`", ", ".join(each.verbs), each.reason)
        for each in AGENT_RIGHTS
    )
    own = table(("group", "resource", "verbs", "for what"), agents)
    operators, sweepers = (table(head, map(_right_row, each)) for each in (RIGHTS, SWEEPER_RIGHTS))
    return f"{RBAC_INTRO}\n{operators}\n{SWEEPER_RIGHTS_INTRO}\n{sweepers}\n{AGENT_RIGHTS_INTRO}\n{own}"


def _right_row(right: Right) -> tuple[str, ...]:
    where = (
        f"{right.scope}, only {', '.join(f'`{name}`' for name in right.names)}"
        if right.names
        else right.scope
    )
    words = {
        "always": "always",
        "agents": "`coordination.enabled`",
        "gates": "`placement.gates.enabled`",
    }
    needed = words.get(right.needed, f"usage source {right.needed}")
    verbs = ", ".join(right.verbs)
    return f"`{right.group or 'core'}`", f"`{right.resource}`", verbs, where, right.why, needed


def take_over(source: Path, target: Path) -> list[str]:
    """Copy what the benchmarks wrote and drew; returns the names.

    Quick runs only show that one works; what ran in a tree that was changed meanwhile is no commit's.
    """
    drawn = [*source.glob("*.svg"), *source.glob("*.png")]
    written = sorted([*source.glob("*.json"), *drawn])
    found = [path for path in written if not any(mark in path.stem for mark in LEFT)]
    target.mkdir(exist_ok=True)
    for path in found:
        shutil.copyfile(path, target / path.name)
    return [path.name for path in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the generated pages of the docs.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is stale")
    parser.add_argument("--results", action="store_true", help="take over bench/results/*.json first")
    options = parser.parse_args(arguments)
    if options.results and not take_over(BENCH, DOCS / "results"):
        print("bench/results holds no JSON: run `make bench` first", file=sys.stderr)
        return 1
    if options.check:
        for name in (old := stale()):
            print(f"docs/{name} is stale: run `make crds`", file=sys.stderr)
        return 1 if old else 0
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
