"""Where compiled kernels are kept: a directory that changes with their sources, or a fresh one."""

import ast
import importlib.util
from importlib import resources
from pathlib import Path

import numba
import pytest

from plimsoll_cli.traces import page_kernels


@pytest.fixture(autouse=True)
def keep_numbas_setting(monkeypatch):
    monkeypatch.setitem(vars(numba.config), "CACHE_DIR", numba.config.CACHE_DIR)


def test_compiled_kernels_are_kept_by_what_they_were_made_from(monkeypatch, tmp_path):
    monkeypatch.setenv("PLIMSOLL_CACHE", str(tmp_path / "cache"))
    kept = page_kernels.keep_compiled()
    assert kept == tmp_path / "cache" / f"page-kernels-{page_kernels.fingerprint()}"
    assert str(kept) == numba.config.CACHE_DIR


def test_where_nothing_can_be_kept_a_fresh_directory_serves(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLIMSOLL_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(page_kernels.tempfile, "tempdir", None)
    kept = page_kernels.keep_compiled()
    assert kept.is_dir()
    assert kept.parent == tmp_path


def test_every_source_that_kernels_import_counts():
    """A change in any of them must change the directory's name."""
    kernels = Path(str(resources.files(page_kernels.KERNELS)))
    imported = {
        node.module.rpartition(".")[2] + ".py"
        for path in kernels.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("plimsoll.pages.")
    }
    assert imported == set(page_kernels.SHARED)


def test_the_agent_imports_no_kernel():
    """numba is an extra; nothing outside replay may need it."""
    core = Path(str(resources.files("plimsoll")))
    agent = Path(importlib.util.find_spec("plimsoll_nodeagent").submodule_search_locations[0])
    for path in [*(core / "pages").rglob("*.py"), *agent.rglob("*.py")]:
        text = path.read_text("utf-8")
        assert "import numba" not in text
        assert "page_kernels" not in text.partition('"""')[2].partition('"""')[2], path
