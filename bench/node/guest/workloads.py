"""The mixed node: Redis, a JVM service, a Python web process and a batch job, each in a container's
cgroup.

In: settings (sizes, ports). Out: running programs, warmed up, and a way back to where nothing has been
reclaimed: `refill` undoes what an arm took, so that each block of the benchmark begins alike.
"""

import contextlib
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from kernel import Cgroup, container

HERE = Path(__file__).parent
DATA = Path("/opt/bench/data")
PROGRESS = Path("/run/batch.progress")
MIB = 1 << 20
RECORD_BYTES = 4000  # with Redis' own header it takes a class of 4096 bytes
PIPELINE = 64
START_SECONDS = 240.0
WORDS = b"account active balance city created customer email id items name order paid price status".split()


class Mixed:
    """The four, and their cgroups by name."""

    def __init__(self, settings: Mapping[str, object], seed: int) -> None:
        self._settings = settings
        self._seed = seed
        limits = settings["limit_mib"]
        self.containers: dict[str, Cgroup] = {
            name: container(name, number, limit * MIB) for number, (name, limit) in enumerate(limits.items())
        }
        self._running: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        """Make files, start everything, fill Redis, read the files."""
        self._make_files()
        ports, settings = self._settings["ports"], self._settings
        plain = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--maxmemory", "0"]
        self._start("redis", "redis-server", "--port", str(ports["redis"]), *plain)
        heap = f"{settings['jvm_heap_mib']}m"
        java = [
            "-Dsun.net.httpserver.nodelay=true",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Xms{heap}",
            f"-Xmx{heap}",
            "-cp",
            str(HERE),
        ]
        counts = [str(settings["jvm_records"]), str(settings["jvm_records"] // 10)]
        self._start("jvm", "java", *java, "Service", str(ports["jvm"]), *counts)
        web = [str(ports["web"]), str(settings["web_entries"]), str(DATA / "web")]
        self._start("web", sys.executable, str(HERE / "web.py"), *web)
        batch = [str(settings["batch_buffer_mib"]), str(settings["batch_pass_seconds"]), str(PROGRESS)]
        self._start("batch", sys.executable, str(HERE / "batch.py"), str(DATA / "batch"), *batch)
        for name in ("redis", "jvm", "web"):
            answers(ports[name])
        fill_redis(ports["redis"], settings["redis_keys"], self._seed)
        self.refill()

    def refill(self) -> None:
        """Bring back all that was swapped out or dropped."""
        for cgroup in self.containers.values():
            cgroup.write("memory.high", "max")
        if Path("/proc/swaps").read_text().count("\n") > 1:
            subprocess.run(["swapoff", "/dev/zram0"], check=True)
            subprocess.run(["swapon", "/dev/zram0"], check=True)
        for name, path in (("web", DATA / "web"), ("batch", DATA / "batch")):
            reading = ["sh", "-c", f"find {path} -type f -exec cat {{}} + >/dev/null"]
            self.containers[name].start(reading).wait()

    def return_to(self, kept_bytes: Mapping[str, int]) -> None:
        """Reclaim down to these levels, in the kernel's own order: work that was measured once."""
        for name, kept in kept_bytes.items():
            wanted = self.containers[name].usage_bytes() - kept
            if wanted > 0:
                with contextlib.suppress(OSError):  # EAGAIN: less could be taken
                    self.containers[name].write("memory.reclaim", str(wanted))

    def done(self) -> int:
        """How much the batch job has done."""
        with contextlib.suppress(OSError, ValueError):
            return int(PROGRESS.read_text())
        return 0

    def ended(self) -> list[str]:
        """Names of what no longer runs, with the exit status."""
        return [f"{each.args[4]} {each.returncode}" for each in self._running if each.poll() is not None]

    def stop(self) -> None:
        """End all of it."""
        for each in self._running:
            each.kill()
            each.wait()

    def _start(self, name: str, *command: str) -> None:
        with Path(f"/run/{name}.log").open("w") as log:
            self._running.append(
                self.containers[name].start(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def _make_files(self) -> None:
        """Files on the disk; made here they would be charged to us, so the cache is dropped."""
        shutil.rmtree(DATA, ignore_errors=True)
        (DATA / "web").mkdir(parents=True)
        drawn = random.Random(self._seed)
        size = self._settings["web_file_kib"] << 10
        for number in range(self._settings["web_files"]):
            (DATA / "web" / f"{number:05d}").write_bytes(drawn.randbytes(size // 2) + bytes(size // 2))
        with (DATA / "batch").open("wb") as file:
            for _ in range(self._settings["batch_file_mib"]):
                file.write(drawn.randbytes(MIB // 2) + bytes(MIB // 2))
        subprocess.run(["sync"], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("1")


def answers(port: int) -> None:
    """Wait until somebody listens; raises TimeoutError where nobody does."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody listens on port {port} after {START_SECONDS:.0f} s") from None
            time.sleep(0.5)
        else:
            return


def records(seed: int) -> bytes:
    """A stretch of text as records are made of; lz4 packs it about two to one."""
    drawn = random.Random(seed)
    made = bytearray()
    while len(made) < MIB:
        made += b'{"%s":"%s%d","%s":%d},' % (
            drawn.choice(WORDS),
            drawn.choice(WORDS),
            drawn.randrange(10**6),
            drawn.choice(WORDS),
            drawn.randrange(10**12),
        )
    return bytes(made)


def fill_redis(port: int, keys: int, seed: int) -> None:
    """SET every key."""
    text, drawn = records(seed), random.Random(seed)
    with socket.create_connection(("127.0.0.1", port), START_SECONDS) as connection:
        for begin in range(0, keys, PIPELINE):
            numbers = range(begin, min(keys, begin + PIPELINE))
            connection.sendall(b"".join(_set(number, text, drawn) for number in numbers))
            missing = len(numbers) * len(b"+OK\r\n")
            while missing > 0:
                missing -= len(connection.recv(missing))


def _set(number: int, text: bytes, drawn: random.Random) -> bytes:
    at = drawn.randrange(len(text) - RECORD_BYTES)
    key = b"key:%d" % number
    value = text[at : at + RECORD_BYTES]
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, RECORD_BYTES, value)
