"""Blocks of the mixed node: in each round every arm once, in an order that is drawn.

A block begins with everything brought back (`Mixed.refill`) and, of an arm that acts, with each container
at the level of that arm's last block (`Mixed.return_to`); then the arm starts and settles; then it is
measured. What settling did is written too, for reclaim's work falls mainly there. Nothing here judges:
bench/node_analysis.py does.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from controllers import Arm, Program, arms
from kernel import Cgroup, Reporter, look, system, window, zram_bytes
from workloads import Mixed

HERE = Path(__file__).parent
SAMPLE_SECONDS = 2.0
OFF = "off"


class Asked:
    """The clients' process."""

    def __init__(self, settings: Path, environment: Mapping[str, str]) -> None:
        command = [sys.executable, str(HERE / "clients.py"), str(settings)]
        self._process = system("clients").start(
            command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.collect()

    def collect(self) -> dict[str, object]:
        """Latencies since the last time."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("collect\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the clients ended with {self._process.wait()}")
        return dict(json.loads(line))

    def stop(self) -> None:
        """End them."""
        self._process.kill()
        self._process.wait()


def sampled(containers: Mapping[str, Cgroup], seconds: float) -> dict[str, object]:
    """Mean use of each container over so many seconds, and of zram's store."""
    usages: dict[str, list[int]] = {name: [] for name in containers}
    stores, until = [], time.monotonic() + seconds
    while True:
        for name, cgroup in containers.items():
            usages[name].append(cgroup.usage_bytes())
        stores.append(zram_bytes())
        left = until - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(SAMPLE_SECONDS, left))
    means = {name: sum(found) / len(found) for name, found in usages.items()}
    return {"usage_bytes": means, "zram_bytes": sum(stores) / len(stores), "samples": len(stores)}


class Blocks:
    """The benchmark of the mixed node."""

    def __init__(self, config: Mapping[str, object], settings: Path, environment: Mapping[str, str]) -> None:
        self._config = config
        self._mixed = Mixed(config["mixed"], config["seed"])
        self._arms: dict[str, Arm] = arms(self._mixed.containers, config["agent"], environment)
        self._settings, self._environment = settings, environment
        self._kept_bytes: dict[str, dict[str, int]] = {}

    def run(self, reporter: Reporter) -> None:
        """Start the node, then block after block."""
        began = time.monotonic()
        self._mixed.start()
        asked = Asked(self._settings, self._environment)
        reporter.say("started", seconds=round(time.monotonic() - began, 1), ended=self._mixed.ended())
        self._warm_up(reporter)
        order = random.Random(self._config["seed"])
        for number in range(self._config["blocks"]):
            for name in order.sample(sorted(self._arms), len(self._arms)):
                self._try(reporter, asked, number, name)
        asked.stop()
        self._mixed.stop()

    def _warm_up(self, reporter: Reporter) -> None:
        """Let each arm find its level; nothing is measured."""
        for name, arm in self._arms.items():
            if name == OFF or not self._config["warm_seconds"]:
                continue
            try:
                self._mixed.refill()
                arm.start()
                sampled(self._mixed.containers, self._config["warm_seconds"])
                self._keep(name)
                reporter.say("warm", arm=name, kept_bytes=self._kept_bytes[name])
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                reporter.say("error", arm=name, error=str(error), ended=self._mixed.ended())
            finally:
                arm.stop()

    def _keep(self, name: str) -> None:
        """Remember how far an arm has come; its next block begins there."""
        if name != OFF:
            found = {each: cgroup.usage_bytes() for each, cgroup in self._mixed.containers.items()}
            self._kept_bytes[name] = found

    def _try(self, reporter: Reporter, asked: Asked, number: int, name: str) -> None:
        """One block; a fault ends the block and not the run."""
        try:
            reporter.say("block", round=number, arm=name, **self._block(asked, name))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            reporter.say("error", round=number, arm=name, error=str(error), ended=self._mixed.ended())
        finally:
            self._arms[name].stop()

    def _block(self, asked: Asked, name: str) -> dict[str, object]:
        arm, containers = self._arms[name], self._mixed.containers
        others = {arm_name: each.cgroup for arm_name, each in self._arms.items() if isinstance(each, Program)}
        began = time.monotonic()
        self._mixed.refill()
        full = sampled(containers, 0.0)
        self._mixed.return_to(self._kept_bytes.get(name, {}))
        refilled = time.monotonic()
        arm.start()
        started = time.monotonic()
        first = look(time.monotonic(), containers, others)
        settling = sampled(containers, self._config["settle_seconds"])
        asked.collect()
        second, done = look(time.monotonic(), containers, others), self._mixed.done()
        found = sampled(containers, self._config["measure_seconds"])
        third = look(time.monotonic(), containers, others)
        self._keep(name)
        return {
            **found,
            "full_bytes": full["usage_bytes"],
            "settling_bytes": settling["usage_bytes"],
            "latency": asked.collect(),
            "batch_chunks": self._mixed.done() - done,
            "measured": window(second, third),
            "settled": window(first, second),
            "arm_resident_bytes": arm.resident_bytes(),
            "refill_seconds": round(refilled - began, 2),
            "start_seconds": round(started - refilled, 2),
            "ended": self._mixed.ended(),
        }
