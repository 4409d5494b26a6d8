"""The operator's process as it begins: what it does not use is not there."""

import subprocess
import sys

LOADED = """
import sys
import plimsoll_operator.main
print(*sorted({"grpc", "redis", "fsspec"} & set(sys.modules)))
"""


def test_what_is_off_by_default_is_not_imported():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
