"""A real Prometheus (Debian's package), whose past is what the tests say.

In: megabytes by hour for earlier pods of workloads. Out: blocks that `promtool` wrote, served by a Prometheus
which the operator's backfill asks. It listens on the cluster's bridge and scrapes nothing: what a workload
uses now is the kubelet's to say. It belongs to a run of the tests, whichever of its processes starts it, and
the process that began the run ends it.
"""

import os
import signal
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.e2e.cluster import Cluster, CommandError, run
from builders.e2e.network import home_network
from builders.others_tools import prometheus_programs
from builders.waiting import wait_for

PORT = 9090
STEP_SECONDS = 150  # two samples in each of the operator's five-minute bins
AHEAD_SECONDS = 3600  # the past goes on while the tests run, as that of a pod that is still scraped
METRICS = ("container_memory_usage_bytes", "container_memory_working_set_bytes")
MIB = 2**20
ENDED = "ended"
STARTTIME = 22 - 4  # proc(5) counts from 1, and three fields stand before the first of these


@dataclass(frozen=True)
class Past:
    """What a Deployment's earlier pod used, in each of the hours until now."""

    namespace: str
    workload: str
    container: str
    hourly_mib: Sequence[float]

    def samples(self, metric: str, now_seconds: float) -> list[str]:
        """Lines of the text format."""
        pod = f"{self.workload}-0123456789-abcde"
        labels = f'namespace="{self.namespace}",pod="{pod}",container="{self.container}"'
        hours = len(self.hourly_mib)
        begin = now_seconds - 3600 * hours
        times = [
            begin + index * STEP_SECONDS for index in range((3600 * hours + AHEAD_SECONDS) // STEP_SECONDS)
        ]
        held = [self.hourly_mib[min(int((at - begin) / 3600), hours - 1)] for at in times]
        return [
            f"{metric}{{{labels}}} {int(mib * MIB)} {at:.3f}" for at, mib in zip(times, held, strict=True)
        ]


class Prometheus:
    """One Prometheus in a directory of its own."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        host = cluster.host_address()
        if not host:
            raise CommandError(
                f"tests with a past need an address that pods reach; provider {cluster.provider} has none"
            )
        self._address = f"{host}:{PORT}"
        self._directory = directory
        self.url = f"http://{self._address}"

    def start(self, pasts: Sequence[Past]) -> None:
        """Start it with these pasts, and wait until it answers."""
        with home_network():
            programs = prometheus_programs()
        data = self._directory / "data"
        self._directory.mkdir(parents=True)
        (self._directory / "prometheus.yml").write_text("{}\n")
        if pasts:
            text = self._directory / "past.txt"
            text.write_text(_openmetrics(pasts, time.time()))
            run(
                [
                    str(programs / "promtool"),
                    "tsdb",
                    "create-blocks-from",
                    "openmetrics",
                    str(text),
                    str(data),
                ]
            )
        # In the background of a shell that ends: it must outlive the test process that happens to start it.
        serve = [
            str(programs / "prometheus"),
            f"--config.file={self._directory}/prometheus.yml",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=60d",
            f"--web.listen-address={self._address}",
            "--log.level=warn",
        ]
        log = str(self._directory / "log")
        pid = run(["sh", "-c", 'log=$1; shift; "$@" >>"$log" 2>&1 & echo $!', "sh", log, *serve])
        note_process(self._directory, int(pid))
        wait_for(self._answers, "Prometheus to be ready")

    def _answers(self) -> bool:
        if not running_process(
            self._directory
        ):  # or another's, left at the same address, would answer for it
            said = (self._directory / "log").read_text()[-2000:]
            raise CommandError(f"Prometheus at {self._address} ended: {said}")
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


def stop_prometheus(directory: Path) -> None:
    """End the Prometheus that was started there, if there is one."""
    if pid := running_process(directory):
        os.kill(pid, signal.SIGTERM)


def note_process(directory: Path, pid: int) -> None:
    """Keep which process it is, by its number and by when it was born: numbers are given again.

    Its command line would not do: there is none while its program is still being read from the disk.
    """
    (directory / "pid").write_text(f"{pid} {_born(pid)}")


def running_process(directory: Path) -> int:
    """Process id of what was noted there; 0 where it has ended."""
    try:
        pid, born = (directory / "pid").read_text().split()
        return int(pid) if born == _born(int(pid)) != ENDED else 0
    except FileNotFoundError:
        return 0


def _born(pid: int) -> str:
    """In clock ticks since the machine's start, as proc(5) tells them; ENDED where it is not running."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ENDED
    return ENDED if state in "ZX" else fields[STARTTIME]


def _openmetrics(pasts: Sequence[Past], now_seconds: float) -> str:
    lines = []
    for metric in METRICS:
        lines.append(f"# TYPE {metric} gauge")
        for past in pasts:
            lines += past.samples(metric, now_seconds)
    return "\n".join([*lines, "# EOF", ""])
