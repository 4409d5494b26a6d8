"""Which results are older than what they measure, in words for the pages.

In: results by the name of their bench, as they are in docs/results. Out: the same with `age`: a sentence that
follows the commit that was measured, empty where every file is still what it was.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "bench"))  # benches are scripts, as what makes the pages is

from measured import Tree, changed, working_tree

OLD = " **Older than what they measure**: {} had changed when this page was written (`make results-stale`)."
UNKNOWN = " Which files they measured is not on record."
COUNT = re.compile(r"(Older than what they measure\*\*: )\d+ files?")
TAKEN = {True: ", older than what it measures", False: ""}


def with_ages(
    results: Mapping[str, Mapping[str, Any]], tree: Tree | None = None
) -> dict[str, dict[str, Any]]:
    """Every document with its `age`, and rows that are of another bench with theirs."""
    now = tree or working_tree()
    ages = {name: _age(name, document, now) for name, document in results.items()}
    return {
        name: {
            **document,
            "age": ages[name],
            "rows": [
                {**row, "age": TAKEN[bool(ages.get(row["bench"]))]} if row.get("bench") else row
                for row in document["rows"]
            ],
        }
        for name, document in results.items()
    }


def age_apart(page: str) -> str:
    """The page without by how many files its results are old: that changes with every commit."""
    return COUNT.sub(r"\1some files", page)


def _age(name: str, document: Mapping[str, Any], now: Tree) -> str:
    since = changed(document.get("measured"), now, name)
    if since is None:
        return UNKNOWN
    return OLD.format(f"{len(since)} file{'' if len(since) == 1 else 's'}") if since else ""
