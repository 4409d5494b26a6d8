"""The generated pages are up to date, name everything there is, and take figures over unchanged."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from plimsoll.api.v1alpha1 import KINDS
from plimsoll_nodeagent.serve import metrics as agent
from plimsoll_operator.forecasters.worker_serving import DEFINITIONS as WORKER
from plimsoll_operator.serve.metrics import DEFINITIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    if str(ROOT / "docs") not in sys.path:  # as `python docs/generate.py` has it
        sys.path.append(str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RESULTS = {
    "commit": "abc1234",
    "machine": {"cores": 2, "memory_gib": 23.5, "kernel": "6.18"},
    "seed": 7,
    "seconds": 12.3,
    "rows": [
        {
            "name": "forecast.core.oom",
            "value": 27.12345,
            "unit": "1/1000 container-days",
            "low": 24.0,
            "high": 30.5,
            "n": 271,
            "against": {"vpa": 78.1, "krr": None},
            "command": "plimsoll replay limits a.parquet",
        },
        {"name": "loop.x", "value": None, "unit": "s", "n": 0, "why": "no Go here", "command": ""},
        {"name": "loop.api_writes", "value": 123456.7, "unit": "1/min", "n": 3, "command": ""},
    ],
}


def test_the_committed_pages_are_what_would_be_written_now():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_page_that_was_edited_or_is_missing_is_stale(generate: ModuleType, tmp_path: Path):
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "results")
    for name, text in generate.pages(tmp_path).items():
        (tmp_path / name).write_text(text)
    assert generate.stale(tmp_path) == []
    (tmp_path / "metrics.md").write_text("edited")
    (tmp_path / "crds.md").unlink()
    assert generate.stale(tmp_path) == ["crds.md", "metrics.md"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_a_section_with_its_short_name(generate: ModuleType, kind):
    assert f"\n## {kind.name}\n" in generate.crds_page()
    assert f"Short name `{kind.short_name}`" in generate.crds_page()


@pytest.mark.parametrize(
    ("field", "default"),
    [
        ("spec.mode", '"Recommend"'),
        ("spec.updates.cooldown", '"10m"'),
        ("spec.containers[].limits.min", ""),
        ("spec.namespaces", ""),
        ("status.containers[].recommendation.target", ""),
        ("status.numaNodes[].free", ""),
    ],
)
def test_fields_are_listed_with_their_defaults(generate: ModuleType, field: str, default: str):
    row = next(line for line in generate.crds_page().splitlines() if line.startswith(f"| `{field}` |"))
    assert row.split(" | ")[2].strip("`") == default


def test_every_metric_is_listed_with_its_unit(generate: ModuleType):
    page = generate.metrics_page()
    everything = (*DEFINITIONS, *agent.DEFINITIONS, *WORKER)
    assert all(f"| `{each.name}` | {each.kind} | {each.unit} |" in page for each in everything)


def test_figures_are_taken_over_with_interval_and_peers(generate: ModuleType):
    page = generate.results_page({"limits": RESULTS})
    assert "| figure | unit | Plimsoll | vpa | krr | n |" in page
    assert "| `forecast.core.oom` | 1/1000 container-days | 27.12 [24, 30.5] | 78.1 |  | 271 |" in page
    assert "| `loop.x` | s | not measured: no Go here |  |  | 0 |" in page
    assert "| 123,457 |" in page
    assert "    plimsoll replay limits a.parquet\n" in page


def test_how_sure_a_figure_is_stands_beside_it(generate: ModuleType):
    rows = [
        RESULTS["rows"][0]
        | {"spreads": {"vpa": [70.0, 90.0, 0.9]}, "groups": 12, "finite_draws": 0.55, "note": "read off"},
        {"name": "a.b", "value": 5.0, "unit": "s", "n": 3, "groups": 1, "against": {}},
    ]
    page = generate.results_page({"limits": RESULTS | {"rows": rows}})
    assert (
        "| 27.12 [24, 30.5] (in 55 % of the draws) (read off) | 78.1 [70, 90] (in 90 % of the draws) |"
        in page
    )
    assert "| 5 (1 group of siblings: no interval) |" in page


def test_results_are_copied_whole(generate: ModuleType, tmp_path: Path):
    source, target = tmp_path / "bench", tmp_path / "docs"
    source.mkdir()
    assert generate.take_over(source, target) == []
    (source / "limits.json").write_text(json.dumps(RESULTS))
    (source / "loop-quick.json").write_text(json.dumps(RESULTS))  # shows that it works, measures nothing
    (source / "loop-dirty.json").write_text(json.dumps(RESULTS))  # measures what is in no commit
    assert generate.take_over(source, target) == ["limits.json"]
    assert generate.read_results(target) == {"limits": RESULTS}


def test_bars_in_cells_do_not_break_a_table(generate: ModuleType):
    assert generate.table(["a"], [["x | y"]]) == "| a |\n| --- |\n| x \\| y |\n"


def test_the_demos_table_says_when_it_is_older_than_the_code(generate: ModuleType):
    names = ("ooms", "oom", "slack", "changes")
    rows = [
        {"name": f"demo.{name}", "value": 5.0, "against": {"static": 19.0, "vpa": 10.0}} for name in names
    ]
    readme = "<!-- outcome: made by docs/generate.py -->\n<!-- end of outcome -->\n"
    demo = {"commit": "abc1234", "rows": rows}
    fresh = generate.with_outcome(readme, {**demo, "age": ""})
    assert "| **Plimsoll** | 5 | 5 | 5.000 | 5.0 |\n<!-- end of outcome -->" in fresh
    old = generate.with_outcome(readme, {**demo, "age": " **Older than what they measure**: 9 files"})
    assert "\n\nCommit `abc1234`. **Older than what they measure**: 9 files\n<!-- end of outcome -->" in old
    assert generate.with_outcome(old, {**demo, "age": ""}) == fresh
