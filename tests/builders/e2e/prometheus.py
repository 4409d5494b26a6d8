"""A real Prometheus (Debian's package), whose past is what a test says.

In: megabytes by hour for a workload's pods of the past. Out: blocks that `promtool` wrote, served by a
Prometheus which the operator's backfill asks. It listens on the cluster's bridge and scrapes nothing: what
a workload uses now is the kubelet's to say.
"""

import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from builders.e2e.cluster import Cluster, CommandError, run
from builders.waiting import wait_for

PORT = 9090
STEP_SECONDS = 150  # two samples in each of the operator's five-minute bins
METRICS = ("container_memory_usage_bytes", "container_memory_working_set_bytes")
MIB = 2**20


class Prometheus:
    """One Prometheus; `remember` gives it a past."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        if not cluster.namespaced_host:
            raise CommandError(
                f"tests with a past need an address that pods reach; provider {cluster.provider} has none"
            )
        self._address = f"{cluster.namespaced_host}:{PORT}"
        self._directory = directory
        self._programs = _unpacked()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://{self._address}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "prometheus.yml").write_text("{}\n")
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "prometheus"),
                    f"--config.file={self._directory}/prometheus.yml",
                    f"--storage.tsdb.path={self._directory}/data",
                    "--storage.tsdb.retention.time=60d",
                    f"--web.listen-address={self._address}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, "Prometheus to be ready")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None

    def remember(self, namespace: str, workload: str, container: str, hourly_mib: Sequence[float]) -> None:
        """Give a Deployment's earlier pod a past: what it used in each of the hours until now."""
        text = self._directory / "past.txt"
        labels = f'namespace="{namespace}",pod="{workload}-0123456789-abcde",container="{container}"'
        text.write_text(_openmetrics(labels, hourly_mib, time.time()))
        self.stop()
        tool = [str(self._programs / "promtool"), "tsdb", "create-blocks-from", "openmetrics"]
        run([*tool, str(text), str(self._directory / "data")])
        self.start()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


def _openmetrics(labels: str, hourly_mib: Sequence[float], now_seconds: float) -> str:
    begin = now_seconds - 3600 * len(hourly_mib)
    steps = int(3600 * len(hourly_mib) / STEP_SECONDS)
    times = [begin + index * STEP_SECONDS for index in range(steps)]
    lines = []
    for metric in METRICS:
        lines.append(f"# TYPE {metric} gauge")
        for at in times:
            mib = hourly_mib[min(int((at - begin) / 3600), len(hourly_mib) - 1)]
            lines.append(f"{metric}{{{labels}}} {int(mib * MIB)} {at:.3f}")
    return "\n".join([*lines, "# EOF", ""])


def _unpacked() -> Path:
    """Debian's `prometheus` and `promtool`, unpacked into the cache and not installed."""
    cache = Path(os.environ.get("PLIMSOLL_CACHE") or _user_cache() / "plimsoll") / "prometheus"
    if not (cache / "usr/bin/prometheus").exists():
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(
                ["apt-get", "download", "-qq", "prometheus"], cwd=directory, check=True, capture_output=True
            )
            (package,) = Path(directory).glob("prometheus_*.deb")
            run(["dpkg-deb", "-x", str(package), str(cache)])
    return cache / "usr/bin"


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
