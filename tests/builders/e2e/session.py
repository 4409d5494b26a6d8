"""What the processes of one run of the tests share: a directory, and things that one of them does for all.

In: a name and what is to be done. Out: it is done once, by whoever comes first; the others wait, and fail
with its words where it failed. pytest-xdist's workers are processes, so the lock is a file's.
"""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from builders.e2e.cluster import Cluster, CommandError, Manifest, state_directory
from builders.e2e.release import Release

RUN = "PLIMSOLL_E2E_RUN"  # names the run; workers inherit it
INSTALLED = "installed-by-us"
STAYS = (
    "what the tests' release leaves on this cluster: the CRDs, and its namespace with the operator's Lease;"
    " on nodes the agents' seccomp profiles. docs/uninstall.md (Everything) says how they go; the CRDs take"
    " with them every policy and profile, yours too"
)


def run_directory() -> Path:
    """The run's own directory, in the cluster's state."""
    return state_directory() / f"run-{os.environ[RUN]}"


def once(name: str, do: Callable[[], None]) -> None:
    """Do it if nobody of this run has; its time is noted under the name."""
    directory = run_directory()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = directory / f"{name}.done"
        if not done.exists():
            began = time.monotonic()
            try:
                do()
            except Exception as error:
                done.write_text(f"{type(error).__name__}: {error}")
                raise
            done.write_text("")
            with (directory / "times").open("a") as times:
                times.write(f"{name}\t{time.monotonic() - began:.1f}\n")
        elif failure := done.read_text():
            raise AssertionError(f"{name} failed for another test already: {failure}")


def noted_times() -> list[tuple[str, float]]:
    """What was done once, and how many seconds it took."""
    try:
        lines = (run_directory() / "times").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [(name, float(seconds)) for name, _, seconds in (line.partition("\t") for line in lines)]


def bring_release(release: Release, values: Manifest) -> None:
    """Install the release for this run. One that is there is its owner's on a cluster that is not ours:
    then nothing is done, and nothing noted that `give_back` would undo."""
    if release.cluster.provider == "kubeconfig" and release.installed:
        raise CommandError(
            f"there is a release {release.name} in {release.namespace}: these tests would change its"
            " values and uninstall it; name a cluster without one"
        )
    (run_directory() / INSTALLED).touch()  # before: one that fails halfway is ours as well
    release.install_or_upgrade(values)


def give_back(cluster: Cluster) -> None:
    """Take away what this run has put on a cluster that is not ours, and say what stays."""
    if cluster.provider != "kubeconfig":
        return
    cluster.remove_node_shells()
    if (run_directory() / INSTALLED).exists():
        Release(cluster).remove()
        print(STAYS)
