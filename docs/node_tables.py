"""The tables of `node-benchmark.md`: docs/results/node.json in, Markdown out, between the same marks as
`benchmark.md` has.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmark_tables import MARKED

NOT_YET = "Not measured yet: run `make bench-node` and `make docs-results`.\n"
Document = Mapping[str, Any]
Row = Mapping[str, Any]

COMPARED = (
    ("saved_percent", "resident memory saved, %"),
    ("saved_net_percent", "... with zram's store and the arm's own memory counted as used, %"),
    ("p99_slowdown_percent", "p99 of Redis and JVM above off, %"),
)
OF_ARMS = (
    ("redis.p50_ms", "Redis p50, ms"),
    ("redis.p99_ms", "Redis p99, ms"),
    ("jvm.p50_ms", "JVM p50, ms"),
    ("jvm.p99_ms", "JVM p99, ms"),
    ("web.p99_ms", "web p99, ms"),
    ("psi_some_percent", "PSI some, mean of the containers, %"),
    ("refaults_anon_per_second", "refaults of anonymous pages a second"),
    ("refaults_file_per_second", "refaults of file pages a second"),
    ("swap_ins_per_second", "pages swapped in a second"),
    ("batch_chunks_per_second", "batch job, chunks a second"),
    ("agent_cpu_percent", "the arm's own CPU, % of two emulated cores"),
    ("kernel_threads_cpu_percent", "kdamond, kswapd, kcompactd, % of a core"),
    ("agent_rss_mib", "the arm's own resident memory, MiB"),
)
PRESSED = (
    ("ooms", "OOM kills a cell"),
    ("compactions", "compactions a cell"),
    ("compaction_stalls", "... that a task had to wait for"),
    ("response_ms_per_mib", "response, ms a MiB"),
)


def with_node_tables(page: str, document: Document | None) -> str:
    """The page with the tables of these results between its marks."""
    return MARKED.sub(lambda marks: f"{marks[1]}{_made(marks[2], document)}{marks[3]}", page)


def _made(name: str, document: Document | None) -> str:
    return NOT_YET if document is None else "".join(TABLES[name](document))


def _ran(document: Document) -> Iterator[str]:
    """Where and when, and what may be said of latency."""
    machine = document["machine"]
    yield (
        f"Commit `{document['commit']}`, seed {document['seed']}, on {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB.{document.get('age', '')}\n"
    )
    for each in document["machines"]:
        yield (
            f"\nThe machine of `{each['part']}`: kernel {each['kernel']}, {each['cpus']} emulated CPUs, "
            f"{each['memory_mib']} MiB, {each['swap_mib']} MiB of zram, {each['numa_nodes']} NUMA nodes.\n"
        )
    yield f"\n{document['judgement'][0].upper()}{document['judgement'][1:]}.\n"
    if document["errors"]:
        yield f"\n{len(document['errors'])} blocks or cells failed and are left out.\n"


def _mixed(document: Document) -> Iterator[str]:
    """The three arms."""
    rows = _rows(document)
    yield from _table(("figure", "off", "Senpai", "agent", "rounds"))
    for name, text in (*COMPARED, *OF_ARMS):
        row = rows[f"node.{name}"]
        off = "-" if (name, text) in COMPARED else _figure(row["against"].get("off"))
        yield _line(text, off, _figure(row["against"].get("senpai")), _spread(row), str(row["n"]))


def _saved(document: Document) -> Iterator[str]:
    """Container by container."""
    yield from _table(("container", "saved with Senpai, %", "saved with the agent, %"))
    start = "node.saved_percent."
    for name, row in _rows(document).items():
        if name.startswith(start):
            yield _line(name.removeprefix(start), _figure(row["against"].get("senpai")), _spread(row))


def _pressure(document: Document) -> Iterator[str]:
    """Level by level."""
    rows = _rows(document)
    levels = sorted(int(name.rpartition(".")[2]) for name in rows if name.startswith("pressure.ooms."))
    peers = list(rows[f"pressure.ooms.{levels[0]}"]["against"])
    yield from _table(("figure", "memory used, %", *peers, "ours"))
    for name, text in PRESSED:
        for level in levels:
            row = rows[f"pressure.{name}.{level}"]
            against = (_figure(row["against"].get(peer)) for peer in peers)
            yield _line(text, str(level), *against, _spread(row))
    for name in ("oom_reduction_percent", "compaction_reduction_percent", "response_reduction_percent"):
        row = rows[f"pressure.{name}.95"]
        cells = ["-" if peer == "reactive" else _figure(row["against"].get(peer)) for peer in peers]
        yield _line(f"{name.split('_')[0]} below the reactive kernel, %", "95", *cells, _spread(row))
    row = rows["pressure.proactive_percent"]
    yield _line(
        "proactive share of compactions, %",
        "all",
        *(_figure(row["against"].get(p)) for p in peers),
        _spread(row),
    )


def _accuracy(document: Document) -> Iterator[str]:
    """Band by band."""
    start = "pressure.accuracy_percent."
    found = {name.removeprefix(start): row for name, row in _rows(document).items() if name.startswith(start)}
    peers = list(dict.fromkeys(peer for row in found.values() for peer in row["against"]))
    yield from _table(("memory used, %", "forecasts", *peers, "ours"))
    for band, row in found.items():
        against = (_figure(row["against"].get(peer)) for peer in peers)
        yield _line(band, str(row["n"]), *against, _spread(row))


TABLES: dict[str, Callable[[Document], Iterator[str]]] = {
    "ran": _ran,
    "mixed": _mixed,
    "saved": _saved,
    "pressure": _pressure,
    "accuracy": _accuracy,
}


def _rows(document: Document) -> dict[str, Row]:
    return {row["name"]: row for row in document["rows"]}


def _table(head: Sequence[str]) -> Iterator[str]:
    yield _line(*head)
    yield _line(*("---" for _ in head))


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _spread(row: Row) -> str:
    if row["value"] is None:
        return f"not measured: {row['why']}"
    inside = "" if row.get("low") is None else f" [{_figure(row['low'])}, {_figure(row['high'])}]"
    return f"{_figure(row['value'])}{inside}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
