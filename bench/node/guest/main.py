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
from collections.abc import Mapping
from pathlib import Path

from kernel import Reporter, facts, system

PORT = Path("/dev/ttyS1")
OWN_PACKAGES = Path("/opt/plimsoll/own")
NEVER_KILLED = "-1000"


def environment() -> dict[str, str]:
    """What Python programs here are started with."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"], "HOME": "/root"}


def part(name: str, config: Mapping[str, object], settings: Path, reporter: Reporter) -> None:
    """Run one part; it is imported only now, so that the others' faults are not its own."""
    match name:
        case "mixed":
            from mixed import Blocks  # noqa: PLC0415

            Blocks(config, settings, environment()).run(reporter)
        case "stress":
            from pressing import Stress  # noqa: PLC0415

            Stress(config).run(reporter)
        case "record":
            from recording import record  # noqa: PLC0415

            record(config, reporter)


def main() -> None:
    """Run the part that was asked for."""
    settings = Path(sys.argv[1])
    config = json.loads(settings.read_text())
    Path("/proc/self/oom_score_adj").write_text(NEVER_KILLED)
    system("driver").write("cgroup.procs", str(os.getpid()))
    with PORT.open("rb") as port:
        tty.setraw(port)
    reporter = Reporter(PORT)
    reporter.say("machine", part=config["part"], **facts())
    # Once, before anything is measured: the agent starts anew for each block, and compiling is slow here.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(OWN_PACKAGES)], check=False)
    try:
        part(config["part"], config, settings, reporter)
    except Exception as error:  # noqa: BLE001 -- the host must hear of it, whatever it is
        reporter.say("error", error=f"{type(error).__name__}: {error}", trace=traceback.format_exc()[-2000:])
    reporter.say("end")


if __name__ == "__main__":
    main()
