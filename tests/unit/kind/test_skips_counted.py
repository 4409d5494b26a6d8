"""The end of a run counts what was skipped for want of something real, and names the command that gets it.

In: the suite's own conftest.py in a pytest of its own, with tests that are skipped for one reason each.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders.apiserver import MISSING, NO_OPENSSL
from builders.others_tools import SKIPPED
from builders.redis_server import MISSING as NO_REDIS
from builders.shown.cluster import ROOT

TEST = """
import pytest

@pytest.mark.parametrize("number", range({count}))
@pytest.mark.skipif(True, reason={reason!r})
def test_marked(number): ...

def test_skips_itself():
    pytest.skip({reason!r})
"""


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (NO_REDIS, f"3 tests need a real Redis; SKIPPED: {NO_REDIS}"),
        (MISSING, f"3 tests need a real API server; SKIPPED: {MISSING}"),
        (NO_OPENSSL, f"3 tests need a real API server; SKIPPED: {NO_OPENSSL}"),
        (f"{SKIPPED}: no apt-get", f"3 tests SKIPPED: {SKIPPED}: no apt-get"),
        ("of no interest", ""),
    ],
)
def test_the_end_of_a_run_counts_what_was_skipped(tmp_path: Path, reason: str, said: str):
    (tmp_path / "test_it.py").write_text(TEST.format(count=2, reason=reason))
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "3 skipped" in done.stdout, done.stdout + done.stderr
    found = [line for line in done.stdout.splitlines() if "SKIPPED: " in line]
    assert found == ([said] if said else [])
