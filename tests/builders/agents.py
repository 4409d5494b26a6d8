"""A whole agent on the twin of a kernel: flags as a person gives them, a node of fixtures, a policy file.

In: a directory of the test. Out: `AgentOn`, ticked by hand: its clock stands still between two ticks.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from builders.twin_node import TwinNode
from plimsoll_nodeagent.assemble import Assembled, assemble
from plimsoll_nodeagent.control.reports import Report
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
        arguments += ["--state-dir", str(self.directory / "state"), "--policy-file", str(self.policy_file)]
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

    def lives(self, looks: int, seconds: float = 30.0, returns: tuple[int, int] = (8, 4)) -> None:
        """Look after look generations age, and of the two oldest so many pages each are touched again."""
        paths = [each.path.removeprefix("/sys/fs/cgroup") for each in self.node.discovered()]
        for _ in range(looks):
            self.lived += 1
            aged, back = int(1000 * seconds * self.lived), [each * self.lived for each in returns]
            pages = [max(0, 1536 - back[0]), max(0, 1024 - back[1]), 512, 1024 + sum(back)]
            ages = (900_000, 300_000, 90_000, 1000)
            text = "".join(
                f"{number:11} {age + aged:10} {some:10} {some:10}\n"
                for number, (age, some) in enumerate(zip(ages, pages, strict=True), 4)
            )
            listed = (f"memcg {at:5} {path}\n node     0\n{text}" for at, path in enumerate(paths, 1))
            self.node.tree.write(self.node.root / "sys/kernel/debug/lru_gen", "".join(listed))
            self.tick(seconds=seconds)

    @property
    def taken_bytes(self) -> int:
        """What was really taken since the start."""
        return self.made.agent.reclaimer.taken_total
