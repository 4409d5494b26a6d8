"""Figures that are committed were measured at a commit that can be checked out."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", autouse=True)
def history() -> None:
    """The history is there to be asked: a shallow clone and an archive have none."""
    shallow = git("rev-parse", "--is-shallow-repository")
    if shallow.returncode:
        pytest.skip("this is no git checkout: nothing says which commits there were")
    if shallow.stdout.strip() == "true":
        pytest.skip("a shallow clone does not have the commits that were measured: git fetch --unshallow")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_what_was_measured_is_in_the_history(path: Path):
    document = json.loads(path.read_text("utf-8"))
    commits = {document["commit"], *(row["commit"] for row in document["rows"] if row.get("commit"))}
    for commit in commits:
        found = git("merge-base", "--is-ancestor", commit.removesuffix("+"), "HEAD")
        assert found.returncode == 0, f"{commit} is no ancestor of HEAD: run the bench anew"
