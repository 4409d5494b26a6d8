"""Replicas of one operator on loopback, one of which leads, and agents that reach some of them.

In: a directory, how many. Out: served replicas whose leader the test names, agents with the addresses of
several, and counts of all that was said. What a Lease does is `leads`: a name, and where it is reached.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from builders.apiserver import free_port
from builders.attending import Attended, until
from builders.authority import Authority
from plimsoll.coordinate.mailbox import Bounds
from plimsoll.coordinate.messages import ModelDelta, ShrinkCancel
from plimsoll.coordinate.session import AgentSession


@dataclass
class Replica:
    """One of them; `up` while it is served."""

    attended: Attended
    up: AsyncExitStack | None = None


@dataclass
class Replicas:
    """All of them. Two processes that took the same place one after the other are two in `all_heard`."""

    directory: Path
    count: int = 3
    authority: Authority = field(default_factory=Authority)
    leads: int = 0
    each: list[Replica] = field(default_factory=list)
    all_heard: list[list] = field(default_factory=list)  # by process what it heard
    epochs: int = 0

    def __post_init__(self) -> None:
        pods = {f"pod-{number}": f"node-{number}" for number in range(10)}
        for number in range(self.count):
            made = Attended(self.directory / str(number), self.authority, pods=pods, port=free_port())
            made.leader = lambda number=number: "" if self.leads in (number, -1) else self.reached_at
            self.each.append(Replica(made))

    @property
    def reached_at(self) -> str:
        """What the Lease says."""
        return f"127.0.0.1:{self.each[self.leads].attended.port}"

    @property
    def leader(self) -> Attended:
        return self.each[self.leads].attended

    def lead(self, number: int) -> None:
        """The Lease has another holder, or none (-1)."""
        self.leads = number
        for place, each in enumerate(self.each):
            each.attended.leading = place == number
            if each.up is not None:
                each.attended.service.relay.look()

    async def start(self, number: int) -> None:
        """A new process in this place."""
        self.epochs += 1
        mine = self.each[number]
        mine.attended.epoch_id = self.epochs
        mine.attended.heard = type(mine.attended.heard)()
        mine.attended.leading = self.leads == number
        mine.up = AsyncExitStack()
        await mine.up.enter_async_context(mine.attended.serving())
        self.all_heard.append(mine.attended.heard.bodies)

    async def kill(self, number: int) -> None:
        """Its streams are cut as by a process that is no more: nobody is told, nothing is acknowledged."""
        mine = self.each[number]
        mine.up, up = None, mine.up
        await up.aclose()

    def agent(self, kube_node: str, *reaches: int):
        """An agent that reaches these replicas, in gRPC's own order."""
        ports = ",".join(f"127.0.0.1:{self.each[each].attended.port}" for each in reaches)
        for each in self.each:  # whoever is asked whose token it is knows
            each.attended.reviews.kube_nodes[f"token-{kube_node}"] = kube_node
        return self.each[0].attended.agent(
            kube_node, session=AgentSession(7, Bounds(most_kept=5000)), address=f"ipv4:{ports}"
        )


@asynccontextmanager
async def replicas(directory: Path, count: int = 3) -> AsyncIterator[Replicas]:
    """All of them served, the first leads."""
    made = Replicas(directory, count)
    for number in range(count):
        await made.start(number)
    try:
        yield made
    finally:
        for number, each in enumerate(made.each):
            if each.up is not None:
                await made.kill(number)


class Said:
    """Agents that speak, and what became of it."""

    def __init__(self, made: Replicas, count: int, *reaches: int) -> None:
        self.made, self.said, self.told = made, 0, 0
        self.nodes = [f"node-{number}" for number in range(count)]
        pairs = [made.agent(node, *reaches) for node in self.nodes]
        self.links = [link for link, _ in pairs]
        self.heard = {node: bodies for node, (_, bodies) in zip(self.nodes, pairs, strict=True)}

    def speak(self, times: int) -> None:
        """Everybody says so many messages."""
        for _ in range(times):
            self.said += 1
            for link in self.links:
                assert link.offer(ModelDelta(f"{self.said}", "survival", "web", 1, "", self.said, b""))

    def tell(self, times: int) -> None:
        """Everybody is told so many by the leader."""
        for _ in range(times):
            self.told += 1
            for node in self.nodes:
                assert self.made.leader.service.offer(node, ShrinkCancel(self.told, "counted"))

    def all_attend(self) -> bool:
        return all(link.state.attending for link in self.links)

    def heard_up(self) -> list[list[tuple[str, int]]]:
        """By process: who said which number."""
        return [[(node, body.observations) for node, body in bodies] for bodies in self.made.all_heard]

    def lost(self) -> int:
        """Messages of agents that no process has heard."""
        heard = {each for bodies in self.heard_up() for each in bodies}
        return len(self.nodes) * self.said - len(heard)

    def twice(self) -> int:
        """Messages that one process has heard more than once."""
        return sum(len(bodies) - len(set(bodies)) for bodies in self.heard_up())

    def again(self) -> int:
        """Messages that a successor has heard again."""
        counts = Counter(each for bodies in self.heard_up() for each in set(bodies))
        return sum(count - 1 for count in counts.values())

    def in_order(self) -> bool:
        """Of each agent every process has heard rising numbers."""
        for bodies in self.heard_up():
            for node in self.nodes:
                numbers = [number for name, number in bodies if name == node]
                if any(later <= before for before, later in pairwise(numbers)):
                    return False
        return True

    def down(self) -> tuple[int, int]:
        """Of what the leader told: lost, and heard twice."""
        ids = [[body.shrink_id for body in bodies] for bodies in self.heard.values()]
        lost = sum(self.told - len(set(each)) for each in ids)
        return lost, sum(len(each) - len(set(each)) for each in ids)

    async def settled(self) -> None:
        """Until everything is heard and acknowledged, both ways."""
        await until(lambda: self.lost() == 0)
        await until(lambda: all(len(link._session.outbox) == 0 for link in self.links))
        await until(lambda: self.down()[0] == 0)
