"""The first program of the benchmark in its machine: python3 main.py CONFIG, started by the init.

In: the host's settings. Out: a line of JSON for each thing measured, on the second serial port, as it
comes; the host makes the table from whatever it got. The last line says `end`; then the machine is
switched off.
"""

import json
import os
import subprocess
import sys
import traceback
import tty
from collections.abc import Callable, Mapping
from pathlib import Path

from kernel import Reporter, facts, system
from mixed import Blocks
from pressing import Stress
from recording import record

PORT = Path("/dev/ttyS1")
NEVER_KILLED = "-1000"


def environment() -> dict[str, str]:
    """What Python programs here are started with."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"], "HOME": "/root"}


def main() -> None:
    """Run the parts that were asked for."""
    settings = Path(sys.argv[1])
    config = json.loads(settings.read_text())
    Path("/proc/self/oom_score_adj").write_text(NEVER_KILLED)
    system("driver").write("cgroup.procs", str(os.getpid()))
    with PORT.open("rb") as port:
        tty.setraw(port)
    reporter = Reporter(PORT)
    reporter.say("machine", part=config["part"], **facts())
    parts: Mapping[str, Callable[[], None]] = {
        "mixed": lambda: Blocks(config, settings, environment()).run(reporter),
        "stress": lambda: Stress(config).run(reporter),
        "record": lambda: record(config, reporter),
    }
    try:
        parts[config["part"]]()
    except Exception as error:  # noqa: BLE001 -- the host must hear of it, whatever it is
        reporter.say("error", error=f"{type(error).__name__}: {error}", trace=traceback.format_exc()[-2000:])
    reporter.say("end")
    subprocess.run(["/node/busybox", "poweroff", "-f"], check=False)


if __name__ == "__main__":
    main()
