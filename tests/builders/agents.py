"""A whole agent on the twin of a kernel: flags as a person gives them, a node of fixtures, a policy file.

In: a directory of the test. Out: `AgentOn`, ticked by hand: its clock stands still between two ticks.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from builders.twin_node import TwinNode
from plimsoll_nodeagent.assemble import Assembled, assemble
from plimsoll_nodeagent.control.reports import Report
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.main import parser

START = 1_700_000_000.0
PSI = """some avg10={avg10:.2f} avg60=0.00 avg300=0.00 total={total}
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
"""
# As the kernel has them: generation, age in ms, anonymous and file pages. On two NUMA nodes together 64 MiB,
# of which 24 MiB have been idle for at least five minutes.
GENERATIONS = """          4     900000       1536       1536
          5     300000       1024       1024
          6      90000        512        512
          7       1000       1024       1024
"""
COLD = {"importance": "Low", "reclaim": {"mode": "Cold"}}


@dataclass
class AgentOn:
    """An agent on a twin node."""

    directory: Path
    containers: int = 2
    policy: dict[str, object] | None = field(default_factory=lambda: dict(COLD))
    mode: str = "act"
    flags: tuple[str, ...] = ()
    node: TwinNode = field(init=False)
    made: Assembled = field(init=False)
    now: float = START
    lived: int = 0  # looks, by `lives`
    _held_before: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = TwinNode(self.directory / "root", containers=self.containers)
        for name in (
            "memory.reclaim",
            "memory.swap.max",
        ):  # of the kubelet's own cgroup, which the probe asks
            self.node.tree.write(self.node.tree.cgroups / "kubepods" / name, "")
        found = self.node.discovered()
        for each in found:
            (self.node.root / each.path.strip("/") / "memory.pressure").write_text(
                PSI.format(avg10=0.0, total=0)
            )
        self.generations([each.path for each in found])
        self.policy_file = self.directory / "policy.json"
        if self.policy is not None:
            self.say(self.policy)
        self.start()

    def generations(self, paths: list[str]) -> None:
        """Let MGLRU know every container, its memory even over two NUMA nodes."""
        text = ""
        for number, path in enumerate((each.removeprefix("/sys/fs/cgroup") for each in paths), 1):
            text += f"memcg {number:5} {path}\n node     0\n{GENERATIONS} node     1\n{GENERATIONS}"
        self.node.tree.write(self.node.root / "sys/kernel/debug/lru_gen", text)

    def start(self) -> None:
        """Start it (again), on what is on disk."""
        arguments = ["run", "--root", str(self.node.root), "--mode", self.mode, *self.flags]
        arguments += ["--state-dir", str(self.directory / "state")]
        arguments += [] if self.policy is None else ["--policy-file", str(self.policy_file)]
        self.made = assemble(parser().parse_args(arguments), self.node.kernel)

    def say(self, policy: dict[str, object]) -> None:
        """Write the policy file."""
        self.policy_file.write_text(json.dumps(policy))

    def stall(self, number: int, seconds: float, avg10: float = 0.0) -> None:
        """Let a container have stalled for so long since it began; avg10 in percent."""
        self.node.file(number, "memory.pressure").write_text(
            PSI.format(avg10=avg10, total=int(seconds * 1e6))
        )

    def tick(self, times: int = 1, seconds: float = 5.0) -> Report:
        """Tick so many times, so far apart."""
        report = None
        for _ in range(times):
            self.now += seconds
            report = self.made.agent.tick(self.now)
        assert report is not None
        return report

    def unmap(self, number: int = 1) -> None:
        """Let nobody have mapped a container's page cache: it is read and written by system calls."""
        stat = self.node.file(number, "memory.stat")
        lines = [
            "file_mapped 0" if line.startswith("file_mapped ") else line
            for line in stat.read_text().splitlines()
        ]
        stat.write_text("\n".join(lines) + "\n")

    def lives(self, looks: int, seconds: float = 30.0, returns: tuple[int, int] = (8, 4)) -> None:
        """Look after look generations age, and of the two oldest so many pages each are touched again.

        What is reclaimed meanwhile goes from the oldest, anonymous and file pages each.
        """
        found = self.node.discovered()
        if not self.lived:
            self._held_before = [self._held(each.path) for each in found]
        for _ in range(looks):
            self.lived += 1
            aged, back = int(1000 * seconds * self.lived), [each * self.lived for each in returns]
            pages = [max(0, 1536 - back[0]), max(0, 1024 - back[1]), 512, 1024 + sum(back)]
            listed = []
            for at, (each, before) in enumerate(zip(found, self._held_before, strict=True), 1):
                held = self._held(each.path)
                rows = zip(
                    (900_000, 300_000, 90_000, 1000),
                    *(without(pages, was - is_) for was, is_ in zip(before, held, strict=True)),
                    strict=True,
                )
                text = "".join(
                    f"{number:11} {age + aged:10} {anon:10} {file:10}\n"
                    for number, (age, anon, file) in enumerate(rows, 4)
                )
                listed.append(f"memcg {at:5} {each.path.removeprefix('/sys/fs/cgroup')}\n node     0\n{text}")
            self.node.tree.write(self.node.root / "sys/kernel/debug/lru_gen", "".join(listed))
            self.tick(seconds=seconds)

    def _held(self, path: str) -> tuple[int, int]:
        """Anonymous and file pages of a cgroup."""
        lines = (self.node.root / path.strip("/") / "memory.stat").read_text().splitlines()
        found = {name: int(value) // PAGE_BYTES for name, value in (line.split() for line in lines)}
        return found["anon"], found["file"]

    @property
    def taken_bytes(self) -> int:
        """What was really taken since the start."""
        return self.made.agent.reclaimer.taken_total


def without(pages: list[int], taken: int) -> list[int]:
    """Generations, oldest first, of which so many pages are gone."""
    left = []
    for each in pages:
        left.append(max(0, each - taken))
        taken = max(0, taken - each)
    return left
