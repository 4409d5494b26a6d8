"""Which files of this repository a bench measures, and which of them have changed since.

In: the name of a bench, and a tree of files: this one, or that of a commit. Out: `measured`, as it stands in
the bench's results: the patterns that were declared, and each file's git blob id. What a bench runs of bench/
and tests/builders is found by its imports; what it measures of the product is declared in `MEASURED`. In a
pattern `*` crosses directories.

    python bench/measured.py          name what is older than what it measures; exit 1 where anything is
    python bench/measured.py --fill   give committed results that name no files those of their commit, by git
"""

import argparse
import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

SELF = "bench/measured.py"
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
DIGITS = 12  # of a blob's id; what a person can compare with `git ls-tree`
DATA_DIGITS = 16

_CORE = "core/plimsoll/"
USAGE = (f"{_CORE}usage/*.py",)
FORECAST = (
    f"{_CORE}pipeline*.py",
    f"{_CORE}forecast/*",
    f"{_CORE}recommend/*.py",
    f"{_CORE}guard/*.py",
    *USAGE,
)
PEERS = tuple(
    f"{_CORE}replay/{each}.py"
    for each in (
        "classes",
        "limits",
        "live",
        "promises",
        "resample",
        "rules",
        "score",
        "series",
        "split",
        "peers/*",
    )
)
TRACES = ("cli/plimsoll_cli/traces/parquet.py",)
REPLAYED = (*FORECAST, *PEERS, *TRACES)
JUDGED = (*REPLAYED, "bench/weights/training_half.json")
KIN = (f"{_CORE}store/kindred.py", f"{_CORE}store/content.py")
LEAK = (
    *(
        f"{_CORE}{each}.py"
        for each in (
            "leak/*",
            "forecast/window",
            "replay/classes",
            "replay/limits",
            "replay/peers/vpa",
            "replay/resample",
            "replay/series",
            "replay/split",
        )
    ),
    *USAGE,
    *TRACES,
)
PAGES = (
    f"{_CORE}pages/*.py",
    f"{_CORE}replay/*page*",
    f"{_CORE}replay/epochs*.py",
    "cli/plimsoll_cli/traces/p*g*.py",
)
PLACEMENT = (
    f"{_CORE}placement/*.py",
    *(f"{_CORE}replay/{each}.py" for each in ("placement", "kube_scheduler", "moves", "rooms")),
)
PRESSURE = (f"{_CORE}pressure/*",)
COORDINATION = (f"{_CORE}coordinate/*.py", "operator/plimsoll_operator/coordinate/*.py", "proto/*.proto")
SHARING = (*COORDINATION, f"{_CORE}store/*.py", f"{_CORE}pages/survival.py")
OPERATOR = (
    "operator/plimsoll_operator/*.py",
    f"{_CORE}workload.py",
    f"{_CORE}need_pipeline.py",
    f"{_CORE}api/*.py",
    f"{_CORE}leak/*.py",
    *FORECAST,
)
AGENT = ("nodeagent/plimsoll_nodeagent/*.py", f"{_CORE}pages/*.py", *PRESSURE)


@dataclass(frozen=True, slots=True)
class Measured:
    """A bench's script in bench/, without `.py`, and patterns of what it measures of the product."""

    script: str
    paths: tuple[str, ...]


MEASURED: Mapping[str, Measured] = {
    "ablation": Measured("ablation", (*JUDGED, *KIN)),
    "agent": Measured("agent", AGENT),
    "basis": Measured(
        "basis",
        (
            f"{_CORE}need_pipeline.py",
            f"{_CORE}pages/*.py",
            f"{_CORE}api/reclaim.py",
            f"{_CORE}coordinate/*.py",
            *FORECAST,
        ),
    ),
    "circumstances": Measured("circumstances", REPLAYED),
    "classes": Measured("classes", JUDGED),
    "cold": Measured("cold", (*JUDGED, *KIN)),
    "control": Measured("control", (f"{_CORE}pages/control_*.py", f"{_CORE}api/reclaim.py")),
    "coord": Measured("coord", (*COORDINATION, "cli/plimsoll_cli/loadgen/*.py", "bench/coord_server.py")),
    "demo": Measured("demo", (*OPERATOR, "cli/plimsoll_cli/sandbox/*")),
    "e2e": Measured("e2e", ("tests/e2e/*", "kind/*", "charts/*")),
    "e2e_figures": Measured("e2e_figures", (*COORDINATION, *SHARING, *PLACEMENT, "tests/e2e/*")),
    "faults": Measured("faults", SHARING),
    "forecast": Measured("forecast", JUDGED),
    "fuzz": Measured("fuzz_coord", SHARING),
    "leak": Measured("leak", LEAK),
    "loop": Measured("loop", OPERATOR),
    "node": Measured("node", (*AGENT, f"{_CORE}api/effective.py", "bench/node/*")),
    "own": Measured("own", JUDGED),
    "pages": Measured("pages", PAGES),
    "placement": Measured("placement", (*PLACEMENT, *REPLAYED)),
    "placement-admission": Measured("placement_admission", (*PLACEMENT, *OPERATOR)),
    "placement_recorded": Measured("placement", (*PLACEMENT, *REPLAYED)),
    "placement_scheduler": Measured("placement_scheduler", (*PLACEMENT, *REPLAYED)),
    "pressure": Measured("pressure", PRESSURE),
    "priors": Measured("priors", (*JUDGED, *KIN)),
    "prophet": Measured("judge_prophet", (*REPLAYED, "operator/plimsoll_operator/forecasters/*.py")),
    "share": Measured("share", (*PAGES, f"{_CORE}store/*.py")),
    "steering": Measured("steering", JUDGED),
    "tried": Measured("tried", (*JUDGED, *KIN)),
    "usage": Measured("usage", USAGE),
}


@dataclass(frozen=True, slots=True)
class Tree:
    """Files of one state of the repository: path -> blob id, and the text of one."""

    blobs: Callable[[Sequence[str]], Mapping[str, str]]  # of all files that match one of the patterns
    text: Callable[[str], str | None]


def measured(name: str, tree: Tree) -> dict[str, Any]:
    """What results of the bench `name` (quick ones too) say they measure, in this tree."""
    declared = MEASURED[_bench_of(name)]
    paths = [*declared.paths, *sorted(_imported(declared.script, tree))]
    return {"paths": paths, "files": dict(sorted(tree.blobs(paths).items()))}


def _bench_of(name: str) -> str:
    """The bench whose results may be called so: `cold` of cold-training, `loop` of loop-quick."""
    while name not in MEASURED:
        name, dash, _ = name.rpartition("-")
        if not dash:
            raise KeyError("a bench that says in bench/measured.py what it measures")
    return name


def changed(recorded: Mapping[str, Any] | None, tree: Tree, name: str | None = None) -> list[str] | None:
    """Files that are not what was measured, that are gone, or that came; None: nothing is on record.

    This file measures nothing: it counts only where what it declares of the bench `name` is more by now.
    """
    if recorded is None:
        return None
    now, then = tree.blobs(recorded["paths"]), recorded["files"]
    others = {path for path in {*now, *then} - {SELF} if now.get(path) != then.get(path)}
    return sorted(others | ({SELF} if name and _declares_more(name, recorded["paths"]) else set()))


def _declares_more(name: str, recorded: Sequence[str]) -> bool:
    """Whether a bench measures what none of the recorded patterns reaches."""
    declared = MEASURED[_bench_of(name)].paths
    return any(not any(fnmatchcase(each, known) for known in recorded) for each in declared)


def data_digests(given: object) -> dict[str, str]:
    """SHA-256, cut short, of files and of what lies in directories; what is no path gives nothing."""
    each = given if isinstance(given, (list, tuple)) else [given]
    paths = [path for path in each if isinstance(path, Path) and path.exists()]
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:DATA_DIGITS]
        for file in files
        if file.is_file()
    }


# -- trees ----------------------------------------------------------------------------------------------


def working_tree(root: Path = ROOT) -> Tree:
    """The files as they lie there."""

    def text(path: str) -> str | None:
        return (root / path).read_text("utf-8") if (root / path).is_file() else None

    return Tree(partial(_blobs_below, root), text)


def tree_of(commit: str, root: Path = ROOT) -> Tree | None:
    """The files of a commit; None where the history does not have it."""
    listed = _git(root, "ls-tree", "-r", commit)
    if listed is None:
        return None
    blobs = {line.partition("\t")[2]: line.split()[2][:DIGITS] for line in listed.splitlines()}

    def matching(patterns: Sequence[str]) -> dict[str, str]:
        return {path: blob for path, blob in blobs.items() if _matches(path, patterns)}

    return Tree(matching, lambda path: _git(root, "show", f"{commit}:{path}") if path in blobs else None)


def _blobs_below(root: Path, patterns: Sequence[str]) -> dict[str, str]:
    found = {}
    for directory in {_fixed_part(pattern) for pattern in patterns}:
        start = root / directory
        for file in [start] if start.is_file() else start.rglob("*"):
            path = file.relative_to(root).as_posix()
            if file.is_file() and _matches(path, patterns):
                found[path] = _blob(file.read_bytes())
    return found


def _fixed_part(pattern: str) -> str:
    """The directory that all matches lie in; the file itself where there is no wildcard."""
    return pattern if "*" not in pattern else pattern.partition("*")[0].rpartition("/")[0]


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return "/__pycache__/" not in path and any(fnmatchcase(path, pattern) for pattern in patterns)


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()[:DIGITS]


def _git(root: Path, *words: str) -> str | None:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _imported(script: str, tree: Tree) -> set[str]:
    """The script, and what it imports of bench/ and tests/builders, directly or not."""
    found, queue = set(), [f"bench/{script}.py"]
    while queue:
        path = queue.pop()
        text = None if path in found else tree.text(path)
        if text is not None:
            found.add(path)
            queue += _imports(ast.parse(text))
    return found


def _imports(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        else:
            continue
        for name in names:
            yield f"{'tests' if name.startswith('builders') else 'bench'}/{name.replace('.', '/')}.py"


# -- the command ----------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None, results: Path = RESULTS) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description="name results that are older than what they measure")
    parser.add_argument("--fill", action="store_true", help="add files by git where results name none")
    options = parser.parse_args(arguments)
    files = sorted(results.glob("*.json"))
    if options.fill:
        return _fill(files)
    return 1 if sum([_told(path) for path in files]) else 0


def _told(path: Path) -> bool:
    """Say what has changed; False where nothing has."""
    document = json.loads(path.read_text("utf-8"))
    since = changed(document.get("measured"), working_tree(), path.stem)
    if since is None:
        print(f"{path.stem}: which files it measured is not on record")
    elif since:
        print(f"{path.stem}, measured at {document['commit']}: {len(since)} files have changed since")
        print(*(f"    {file}" for file in since), sep="\n")
    return since is None or bool(since)


def _fill(files: Sequence[Path]) -> int:
    for path in files:
        document = json.loads(path.read_text("utf-8"))
        tree = None if "measured" in document else tree_of(document["commit"].removesuffix("+"))
        if tree is not None:
            document["measured"] = measured(path.stem, tree)
            path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
            print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
