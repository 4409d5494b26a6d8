"""Results name the files that they measure, and it is found out which of those are others by now."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from builders.benches import BENCH, bench_modules

ROOT = BENCH.parent
WRITTEN = re.compile(r"write_results\(\s*\"([\w-]+)\"|^    name = \"([\w-]+)\" if", re.MULTILINE)


@pytest.fixture(scope="module")
def bench():
    return bench_modules(main="measured").main


@pytest.fixture
def repository(tmp_path, bench, monkeypatch):
    """A repository of one bench, of what it measures, and of what it does not; all in one commit."""
    files = {
        "bench/loop.py": "import fleet\nfrom builders.apiserver import Child\n",
        "bench/fleet.py": "",
        "bench/other.py": "",
        "tests/builders/apiserver.py": "",
        "core/plimsoll/forecast/deep/model.py": "a = 1\n",
        "core/plimsoll/api/unmeasured.py": "",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(bench, "MEASURED", {"loop": bench.Measured("loop", ("core/plimsoll/forecast/*",))})
    git(tmp_path, "init", "-q")
    committed(tmp_path)
    return tmp_path


def git(root, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def committed(root):
    git(root, "add", "-A")
    git(root, "commit", "-qm", "all")
    return git(root, "rev-parse", "HEAD")


def test_a_bench_measures_what_it_declares_and_runs_what_it_imports(bench, repository):
    found = bench.measured("loop", bench.working_tree(repository))
    assert list(found["files"]) == [
        "bench/fleet.py",
        "bench/loop.py",
        "core/plimsoll/forecast/deep/model.py",
        "tests/builders/apiserver.py",
    ]


def test_a_commit_gives_the_same_files_and_digests_as_the_tree_that_is_checked_out(bench, repository):
    tree = bench.tree_of(git(repository, "rev-parse", "HEAD"), repository)
    assert bench.measured("loop", tree) == bench.measured("loop", bench.working_tree(repository))
    assert bench.tree_of("0" * 40, repository) is None


def test_what_changed_came_and_went_is_named_and_nothing_else(bench, repository):
    recorded = bench.measured("loop", bench.working_tree(repository))
    (repository / "core/plimsoll/api/unmeasured.py").write_text("b = 2\n")
    assert bench.changed(recorded, bench.working_tree(repository)) == []
    (repository / "core/plimsoll/forecast/deep/model.py").write_text("a = 2\n")
    (repository / "core/plimsoll/forecast/new.py").write_text("")
    (repository / "bench/fleet.py").unlink()
    assert bench.changed(recorded, bench.working_tree(repository)) == [
        "bench/fleet.py",
        "core/plimsoll/forecast/deep/model.py",
        "core/plimsoll/forecast/new.py",
    ]
    assert bench.changed(None, bench.working_tree(repository)) is None


def test_what_says_what_is_measured_counts_only_where_it_says_more(bench, repository, monkeypatch):
    tree = bench.working_tree(repository)
    (repository / "bench/loop.py").write_text("import fleet\nimport measured\n")
    (repository / "bench/measured.py").write_text("")
    recorded = bench.measured("loop", tree)
    assert "bench/measured.py" in recorded["files"]
    (repository / "bench/measured.py").write_text("another = 'bench'\n")
    assert bench.changed(recorded, tree, "loop") == []
    (repository / "bench/loop.py").write_text("import fleet\n")
    assert bench.changed(recorded, tree, "loop") == ["bench/loop.py"]
    more = bench.Measured("loop", ("core/plimsoll/forecast/*", "core/plimsoll/api/*"))
    monkeypatch.setattr(bench, "MEASURED", {"loop": more})
    assert bench.changed(recorded, tree, "loop") == ["bench/loop.py", "bench/measured.py"]
    assert bench.changed(recorded, tree) == ["bench/loop.py"]


def test_the_command_fails_while_anything_is_old_or_unknown(bench, repository, monkeypatch, capsys):
    tree = bench.working_tree(repository)
    monkeypatch.setattr(bench, "working_tree", lambda: tree)
    results = repository / "results"
    results.mkdir()
    document = {"commit": "abc", "measured": bench.measured("loop", tree)}
    (results / "loop.json").write_text(json.dumps(document))
    assert bench.main([], results) == 0
    (repository / "bench/fleet.py").write_text("a = 3\n")
    assert bench.main([], results) == 1
    assert (
        "loop, measured at abc: 1 files have changed since\n    bench/fleet.py\n" in capsys.readouterr().out
    )
    (results / "loop.json").write_text(json.dumps({"commit": "abc"}))
    assert bench.main([], results) == 1
    assert "not on record" in capsys.readouterr().out


def test_variants_of_a_bench_measure_what_it_does_and_strangers_are_refused(bench):
    assert bench._bench_of("cold-training") == "cold"
    assert bench._bench_of("placement-admission") == "placement-admission"
    with pytest.raises(KeyError, match=r"measured\.py"):
        bench._bench_of("unheard-of")


def test_every_bench_that_writes_results_says_what_it_measures(bench):
    texts = [path.read_text("utf-8") for path in BENCH.glob("*.py")]
    names = {first or second for text in texts for first, second in WRITTEN.findall(text)}
    assert {bench._bench_of(name) for name in names} >= {"forecast", "leak", "loop", "placement-admission"}


def test_every_pattern_and_script_is_of_files_that_are_there(bench):
    tree = bench.working_tree()
    for each in bench.MEASURED.values():
        assert (BENCH / f"{each.script}.py").is_file()
        assert all(tree.blobs([pattern]) for pattern in each.paths), each


def test_what_a_bench_imports_of_the_core_itself_is_measured(bench):
    tree = bench.working_tree()
    for name in bench.MEASURED:
        files = bench.measured(name, tree)["files"]
        scripts = [tree.text(path) for path in files if path.startswith("bench/") and path.endswith(".py")]
        named = {each for text in scripts for each in re.findall(r"from plimsoll\.([\w.]+) import", text)}
        paths = {f"core/plimsoll/{each.replace('.', '/')}.py" for each in named}
        assert {path for path in paths if (ROOT / path).is_file()} <= set(files), name


def test_data_is_told_apart_by_its_content(bench, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"one")
    before = bench.data_digests(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"two")
    assert list(before) == ["a.parquet"]
    assert bench.data_digests([tmp_path / "a.parquet"]) != before
    assert bench.data_digests(Path("sample")) == bench.data_digests(None) == {}
