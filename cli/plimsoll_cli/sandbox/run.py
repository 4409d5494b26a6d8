"""A whole run, seen from the parent: the world and the real operator as children, the table, the outcome.

In: what the person asked for. Out: the outcome document. The operator is the installed one, started as in a
cluster but for its environment: a kubeconfig that names the world's address, the world's clock, its
Prometheus. Whatever ends the run, the children are ended by pid.
"""

import json
import os
import queue
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from plimsoll.usage.sample import BIN_SECONDS
from plimsoll_cli.failure import CommandError
from plimsoll_cli.sandbox import certificate, objects
from plimsoll_cli.sandbox.child import Child
from plimsoll_cli.sandbox.objects import OPERATOR_NAMESPACE
from plimsoll_cli.sandbox.process import FRAME_SECONDS, WorldConfig
from plimsoll_cli.sandbox.scenario import NAMESPACE

JsonObject = dict[str, Any]
Frame = Callable[[JsonObject], None]

OPERATOR = (sys.executable, "-m", "plimsoll_operator.main")
WORLD = (sys.executable, "-m", "plimsoll_cli.sandbox.process")
_LOOK_SECONDS = 0.5  # how often the operator is looked after while the world says nothing
WEBHOOK_PATH = "mutate-pods"


class RunError(CommandError):
    """The run was not whole; the message has the tail of whose log tells why."""


class RefusedError(RunError):
    """What the person asked for cannot be played; one sentence, with the status it deserves."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class RunSettings:
    """What the person asked for."""

    traces: Sequence[Path]
    seed: int
    hours: float
    pods: int
    speed_hours_per_second: float | None = None  # None: as fast as the operator goes
    policy: Path | None = None
    faults: tuple[JsonObject, ...] = ()
    admission: bool = True
    frame_seconds: float = FRAME_SECONDS
    frames_awaited: bool = False  # the world goes on when a frame has been read and answered, not before
    operator_flags: tuple[str, ...] = field(default=())

    @property
    def bins(self) -> int:
        """Bins to play."""
        return max(1, round(self.hours * 3600 / BIN_SECONDS))

    @property
    def bin_wall_seconds(self) -> float:
        """Least wall time of a bin."""
        if self.speed_hours_per_second is None:
            return 0.0
        return BIN_SECONDS / 3600 / self.speed_hours_per_second


class SandboxRun:
    """The two children of a run and what they need; use within `sandbox_run`."""

    def __init__(self, settings: RunSettings, directory: Path) -> None:
        self.settings = settings
        self.directory = directory
        self.operator_starts = 0
        self.url = ""
        self._world: Child | None = None
        self._operator: Child | None = None
        self._webhook_port = _free_port()
        self._certificate = certificate.make_certificate(directory) if settings.admission else None

    @property
    def has_admission(self) -> bool:
        """Whether new pods go through the operator's webhook."""
        return self._certificate is not None

    @property
    def world(self) -> Child:
        """The world's process."""
        if self._world is None:
            raise RunError("the world has not been started")
        return self._world

    @property
    def operator(self) -> Child:
        """The operator's process, the latest one."""
        if self._operator is None:
            raise RunError("the operator has not been started")
        return self._operator

    def start_world(self) -> None:
        """Start the world and wait for its address."""
        document = json.dumps(asdict(self._world_config()))
        self._world = Child("the world", [*WORLD, document], self.directory / "world.log", talks=True)
        self.url = self._next("ready")["url"]
        (self.directory / "kubeconfig").write_text(json.dumps(objects.kubeconfig(self.url)))

    def _world_config(self) -> WorldConfig:
        settings, webhook = self.settings, None
        if self._certificate is not None:
            webhook = certificate.webhook_configuration(
                self._webhook_port, self._certificate, WEBHOOK_PATH, NAMESPACE
            )
        return WorldConfig(
            traces=[str(path) for path in settings.traces],
            seed=settings.seed,
            bins=settings.bins,
            pods=settings.pods,
            bin_wall_seconds=settings.bin_wall_seconds,
            frame_seconds=settings.frame_seconds,
            frames_awaited=settings.frames_awaited,
            policy=str(settings.policy) if settings.policy else "",
            faults=settings.faults,
            webhook=webhook,
        )

    def start_operator(self) -> None:
        """Start the operator, for the first time or again."""
        self.operator_starts += 1
        self._operator = Child(
            "the operator",
            [*OPERATOR, *self._flags(), *self.settings.operator_flags],
            self.directory / "operator.log",
            {**os.environ, **self._environment()},
        )

    def _environment(self) -> dict[str, str]:
        return {
            "KUBECONFIG": str(self.directory / "kubeconfig"),
            "PLIMSOLL_CLOCK_URL": f"{self.url}/clock",
            "PLIMSOLL_NAMESPACE": OPERATOR_NAMESPACE,
            "POD_NAME": "plimsoll-operator-0",
        }

    def _flags(self) -> list[str]:
        flags = {
            "usage-source": "metrics-api",
            "prometheus-url": f"{self.url}/prometheus",
            "interval": f"{BIN_SECONDS}s",  # one sample a bin is all that was recorded
            "profile-interval": "1h",
            "metrics-port": "0",
            "metrics-address": "127.0.0.1",
        }
        if self.has_admission:
            flags |= {"webhook-port": str(self._webhook_port), "webhook-cert-dir": str(self.directory)}
        return [part for name, value in flags.items() for part in (f"--{name}", value)]

    def messages(self) -> Iterator[tuple[str, JsonObject]]:
        """What the world says, until it is done; meanwhile the operator is looked after."""
        while True:
            try:
                line = self.world.said.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                self.check_operator()
                continue
            if not line:
                code = self.world.stop()
                raise RunError(f"the world ended by itself (exit code {code}):\n{self.world.tail()}")
            said: JsonObject = json.loads(line)
            if "refused" in said:
                raise RefusedError(**said["refused"])
            yield from said.items()

    def _next(self, kind: str) -> JsonObject:
        for found, document in self.messages():
            if found == kind:
                return document
        raise RunError(f"the world never said {kind}")

    def check_operator(self) -> None:
        """Raise where the operator has ended by itself."""
        code = self._operator.poll() if self._operator is not None else None
        if code is not None:
            raise RunError(f"the operator ended by itself (exit code {code}):\n{self.operator.tail()}")

    def outcome(self, on_frame: Frame) -> JsonObject:
        """Follow the run to its end."""
        for kind, document in self.messages():
            self.check_operator()
            if kind == "frame":
                on_frame(document)
                self.world.tell("read")
            elif kind == "done":
                return document | {"operator_starts": self.operator_starts}
        raise RunError("the world never said how it ended")

    def stop(self) -> None:
        """End the children, the operator first: it should find its API until it has gone."""
        for child in (self._operator, self._world):
            if child is not None:
                child.stop()


@contextmanager
def sandbox_run(settings: RunSettings) -> Iterator[SandboxRun]:
    """A run whose children end with the block, however it ends."""
    with tempfile.TemporaryDirectory(prefix="plimsoll-sandbox-") as directory:
        run = SandboxRun(settings, Path(directory))
        try:
            run.start_world()
            run.start_operator()
            yield run
        finally:
            run.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
