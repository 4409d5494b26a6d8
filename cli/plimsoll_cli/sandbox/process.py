"""The world in a process of its own: `python -m plimsoll_cli.sandbox.process CONFIG`.

In: a JSON document of the run's settings; its stdin, whose end (the parent is gone) ends the world, and on
which the parent says a line for each frame it has read. Out: one JSON object a line on stdout: `ready` with
the world's address, `frame` a few times a second, `done` with the outcome; or `refused` with a sentence,
where the person asked for what cannot be played.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plimsoll_cli.failure import CommandError
from plimsoll_cli.sandbox.api.faults import fault_rules
from plimsoll_cli.sandbox.policies import read_policies
from plimsoll_cli.sandbox.report import Reporter
from plimsoll_cli.sandbox.scenario import load_scenario
from plimsoll_cli.sandbox.world import World, WorldSettings

FRAME_SECONDS = 0.25  # wall time between two frames, unless asked otherwise


@dataclass(frozen=True)
class WorldConfig:
    """What the parent asks for; crosses as JSON."""

    traces: list[str]
    seed: int
    bins: int
    pods: int
    bin_wall_seconds: float = 0.0
    frame_seconds: float = FRAME_SECONDS
    frames_awaited: bool = False  # no bin before the parent has read the last one's frame
    policy: str = ""
    faults: tuple[dict[str, Any], ...] = ()
    webhook: dict[str, Any] | None = None


def make_world(config: WorldConfig) -> World:
    """The world of a configuration; raises `CommandError` for what the person got wrong."""
    policies = read_policies(Path(config.policy) if config.policy else None)
    paths = [Path(path) for path in config.traces]
    scenario = load_scenario(paths, config.seed, config.bins, config.pods)
    settings = WorldSettings(
        bin_wall_seconds=config.bin_wall_seconds,
        faults=tuple(fault_rules(config.faults)),
        policies=tuple(policies),
        webhook=config.webhook,
    )
    return World(scenario, settings)


def say(kind: str, document: object) -> None:
    """One line for the parent."""
    sys.stdout.write(json.dumps({kind: document}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


async def play(config: WorldConfig, frames_read: asyncio.Semaphore) -> None:
    """Serve and play the world, telling the parent how it goes."""
    world = make_world(config)
    reporter = Reporter(world)
    loop = asyncio.get_running_loop()
    async with world.listen() as url:
        say("ready", {"url": url, "workloads": len(world.scenario.workloads)})
        last = 0.0
        async for bins in world.play():
            if loop.time() - last >= config.frame_seconds or bins == world.scenario.bins:
                last = loop.time()
                say("frame", reporter.frame(bins))
                if config.frames_awaited:
                    await frames_read.acquire()
        say("done", reporter.outcome())
        await asyncio.Event().wait()  # still served: the operator ends after us


async def _until_parent_gone(config: WorldConfig) -> None:
    """The parent closes our stdin when it has read the outcome; should it die, the same happens."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    frames_read = asyncio.Semaphore(0)
    playing = asyncio.create_task(play(config, frames_read))
    gone = asyncio.create_task(_follow_parent(reader, frames_read))
    done, pending = await asyncio.wait({playing, gone}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    if playing in done:
        playing.result()


async def _follow_parent(reader: asyncio.StreamReader, frames_read: asyncio.Semaphore) -> None:
    """Until the parent is gone."""
    while await reader.readline():
        frames_read.release()


def main() -> None:
    """Read the configuration from the command line and run."""
    config = WorldConfig(**json.loads(sys.argv[1]))
    try:
        asyncio.run(_until_parent_gone(config))
    except CommandError as refusal:
        say("refused", {"message": str(refusal), "status": refusal.status})
        raise SystemExit(refusal.status) from refusal


if __name__ == "__main__":
    main()
