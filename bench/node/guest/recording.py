"""Recordings of memory under stress on this kernel, for `make train-pressure`: made here, sent to the host.

In: which scopes, seconds a run. Out: the gzip files of bench/record_pressure.py, as lines of base64.
"""

import base64
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from kernel import Reporter

HERE = Path(__file__).parent
CHUNK_BYTES = 1 << 15


def record(config: Mapping[str, object], reporter: Reporter) -> None:
    """Record each scope; one that fails is said and the next is tried."""
    for scope in config["scopes"]:
        out = Path(f"/run/pressure-{scope}.jsonl.gz")
        command = [sys.executable, str(HERE / "record_pressure.py"), "--out", str(out), "--scope", scope]
        command += ["--seconds", str(config["cell_seconds"]), "--seed", str(config["seed"])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout
        for line in process.stdout:
            reporter.say("said", scope=scope, text=line.strip()[:500])
        if process.wait() != 0 or not out.exists():
            reporter.say("error", scope=scope, error=f"record_pressure.py ended with {process.returncode}")
            continue
        send(out, reporter)


def send(path: Path, reporter: Reporter) -> None:
    """Send one file in chunks that together are the whole of it."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            reporter.say("chunk", name=path.name, data=base64.b64encode(chunk).decode())
    reporter.say("sent", name=path.name, bytes=path.stat().st_size)
