"""Write the pages that are made, not typed: `crds.md`, `metrics.md`, `rbac.md`, `results.md`; and the tables
of `benchmark.md`, `node-benchmark.md`, `pages.md` and `coordination.md`, pages that are typed.

    python docs/generate.py            write them
    python docs/generate.py --check    exit 1 and name those that are stale
    python docs/generate.py --results  take over bench/results/*.json first

In: the typed models, the operator's and the agent's tables of metrics, docs/results/*.json. Out: Markdown. A
test runs `--check`.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ageing import age_apart, with_ages
from benchmark_tables import with_tables
from crd_tables import crds_page
from fault_tables import with_faults
from markdown_table import table
from node_tables import with_node_tables
from page_tables import with_page_tables
from placement_tables import with_placement_tables
from result_tables import read_results, results_page, with_outcome
from right_tables import rbac_page

from plimsoll_nodeagent.serve import metrics as agent
from plimsoll_operator.forecasters.worker_serving import DEFINITIONS as WORKER
from plimsoll_operator.serve.definition import MetricDefinition
from plimsoll_operator.serve.metrics import DEFINITIONS

DOCS = Path(__file__).parent
BENCH = DOCS.parent / "bench" / "results"
LEFT = ("-quick", "-dirty")  # results that are not taken over
MADE = "<!-- Made by docs/generate.py; do not edit. -->\n\n"


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
    placement = docs / "placement.md"
    if placement.is_file():
        made["placement.md"] = with_placement_tables(
            placement.read_text("utf-8"),
            results.get("placement"),
            results.get("placement_scheduler"),
            results.get("placement_recorded"),
        )
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
