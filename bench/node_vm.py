"""The machine of `make bench-node`: QEMU with the end-to-end nodes' kernel and rootfs, without a kubelet.

In: sizes, the guest's settings. Out: the guest's lines of JSON, as they come. It is named plimsoll-bench,
has a run directory and a network namespace of its own (with nothing in it), runs at the lowest priority
where it is told to, and ends with its caller. The host's cgroups and DAMON are never looked at.
"""

import json
import os
import shutil
import subprocess
import tarfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
GUEST = REPOSITORY / "bench/node"
NAME = "plimsoll-bench"
OWN_PACKAGES = ("core/plimsoll", "nodeagent/plimsoll_nodeagent")
OWN_PROGRAMS = ("bench/record_pressure.py", "bench/pressure_stress.py")
BOOT_ARGUMENTS = (
    "console=ttyS0 quiet loglevel=4 net.ifnames=0 mitigations=off transparent_hugepage=madvise psi=1 "
    "cgroup_no_v1=all tsc=reliable no_timer_check random.trust_cpu=on damon_stat.enabled=0"
)
POLL_SECONDS = 0.5
KILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """Its size; `idle` gives it the processor only when nobody else wants it."""

    memory_mb: int
    cpus: int
    zram_mb: int
    idle: bool


class MachineError(RuntimeError):
    """The machine ended or said nothing; the message holds the end of its console."""


def run_directory() -> Path:
    """Where the machine's state is while it runs, and its console afterwards."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state) / "plimsoll" / NAME


def built(script: Path, *words: str) -> Path:
    """Run a script that prints what it made."""
    done = subprocess.run([script, *words], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip().splitlines()[-1])


@contextmanager
def booted(machine: Machine, config: Mapping[str, object]) -> Iterator["Guest"]:
    """Start it with these settings; it is ended by its process id whatever happens."""
    disk = built(GUEST / "build-disk.sh")
    kernel = built(REPOSITORY / "kind/vm/build-kernel.sh")
    directory = run_directory()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    overlay = directory / "disk.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", overlay]
    subprocess.run(command, check=True)
    _pack(directory / "files.tar", machine, config)
    with (directory / "qemu.log").open("w") as log:
        process = subprocess.Popen(
            _command(machine, directory, kernel), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield Guest(process, directory)
    finally:
        process.terminate()
        try:
            process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        overlay.unlink()


class Guest:
    """A machine that runs."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self._process, self._directory = process, directory

    def lines(self, silent_seconds: float) -> Iterator[dict[str, object]]:
        """What it says, up to its `end`. Raises MachineError where it ends before or is silent too long."""
        path, rest = self._directory / "lines", ""
        deadline = time.monotonic() + silent_seconds
        while not path.exists() and self._process.poll() is None:
            time.sleep(POLL_SECONDS)
        with path.open() as file:
            while True:
                whole, _, rest = (rest + file.read()).rpartition("\n")
                for line in parsed(whole):
                    yield line
                    deadline = time.monotonic() + silent_seconds
                    if line["kind"] == "end":
                        return
                if self._process.poll() is not None and not whole:
                    raise MachineError(f"the machine ended before its time: {self._last_words()}")
                if time.monotonic() > deadline:
                    raise MachineError(f"no word for {silent_seconds:.0f} s: {self._last_words()}")
                time.sleep(POLL_SECONDS)

    def _last_words(self) -> str:
        texts = (self._directory / name for name in ("qemu.log", "console.log"))
        return " | ".join(each.read_text(errors="replace")[-1500:].strip() for each in texts if each.exists())


def parsed(text: str) -> Iterator[dict[str, object]]:
    """Lines that are JSON objects with a kind; a torn one is left out."""
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "kind" in found:
            yield found


def _pack(target: Path, machine: Machine, config: Mapping[str, object]) -> None:
    """Our packages and the guest's programs, as the bare tar that becomes the second disk."""
    scratch = target.parent / "files"
    (scratch / "bench").mkdir(parents=True)
    (scratch / "bench/settings").write_text(f"ZRAM_MB={machine.zram_mb}\n")
    (scratch / "bench/config.json").write_text(json.dumps(config))
    (scratch / "bench/policy.json").write_text(json.dumps(config["policy"]))
    with tarfile.open(target, "w") as tar:
        tar.add(scratch / "bench", "bench")
        for each in (GUEST / "guest").iterdir():
            if each.suffix in (".py", ""):
                tar.add(each, f"bench/{each.name}", filter=_plain)
        for program in OWN_PROGRAMS:
            tar.add(REPOSITORY / program, f"bench/{Path(program).name}")
        tar.add(_metadata(scratch), f"plimsoll/own/plimsoll-{_version()}.dist-info")
        for package in OWN_PACKAGES:
            tar.add(REPOSITORY / package, f"plimsoll/own/{Path(package).name}", filter=_plain)


def _metadata(scratch: Path) -> Path:
    """What importlib.metadata asks for: an installed package's name and version."""
    directory = scratch / "dist-info"
    directory.mkdir()
    (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plimsoll\nVersion: {_version()}\n")
    return directory


def _version() -> str:
    return str(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"])


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _command(machine: Machine, directory: Path, kernel: Path) -> list[str]:
    """The command line of QEMU: two NUMA nodes, no network, three serial ports."""
    half = machine.memory_mb // 2
    first = 0 if machine.cpus == 1 else machine.cpus // 2 - 1
    second = "" if machine.cpus == 1 else f",cpus={machine.cpus // 2}-{machine.cpus - 1}"
    idle = ["chrt", "--idle", "0", "nice", "-n", "19"] if machine.idle else []
    return [
        *("unshare", "--net", *idle, "qemu-system-x86_64", "-name", NAME),
        *("-accel", "tcg,thread=multi", "-cpu", "max", "-m", f"{2 * half}M", "-smp", str(machine.cpus)),
        *("-object", f"memory-backend-ram,id=m0,size={half}M"),
        *("-object", f"memory-backend-ram,id=m1,size={half}M"),
        *("-numa", f"node,nodeid=0,cpus=0-{first},memdev=m0", "-numa", f"node,nodeid=1{second},memdev=m1"),
        *("-numa", "dist,src=0,dst=1,val=20"),
        *("-kernel", str(kernel / "vmlinuz"), "-initrd", str(kernel / "initrd"), "-append", BOOT_ARGUMENTS),
        *(
            "-drive",
            f"file={directory}/disk.qcow2,if=virtio,format=qcow2,cache=unsafe,discard=unmap",
            "-drive",
            f"file={directory}/files.tar,if=virtio,format=raw,readonly=on",
        ),
        *("-device", "virtio-rng-pci", "-nic", "none", "-display", "none", "-monitor", "none", "-no-reboot"),
        *("-serial", f"file:{directory}/console.log", "-serial", f"file:{directory}/lines"),
        *("-serial", f"unix:{directory}/shell,server=on,wait=off"),
    ]
