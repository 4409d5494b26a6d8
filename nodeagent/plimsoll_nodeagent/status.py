"""What `plimsoll-agent status` prints: one look at this node, for a person or as JSON.

In: a `Snapshot`. Out: lines of text. Ids are cut as `crictl` cuts them; sizes are in binary units; `-` is
what this kernel does not tell, `max` what has no bound.
"""

import json
import math
from collections.abc import Sequence

from plimsoll_nodeagent.capabilities import KernelCapabilities
from plimsoll_nodeagent.control.models import Models
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.serve.http import described

CONTAINER_ID_LETTERS = 13
_HEAD = (
    "POD UID",
    "CONTAINER",
    "QOS",
    "USAGE",
    "WORKING SET",
    "PEAK",
    "MAX",
    "SWAP",
    "STALLED 10S",
    "OOM KILLS",
)
_LEFT = 3  # columns of words; the others are of numbers


def as_table(
    snapshot: Snapshot, found: KernelCapabilities | None = None, models: Models | None = None
) -> str:
    """Return the node in a few lines, then a row for each container, those that use most first."""
    samples = sorted(snapshot.samples, key=lambda each: each.usage_bytes, reverse=True)
    lines = _node_lines(snapshot) + ([] if found is None else ["", *_engine_lines(found)])
    if models is not None:
        lines += ["", models_line(models)]
    if samples:
        lines += ["", *_columns([_HEAD, *map(_row, samples)])]
    return "\n".join(lines) + "\n"


def models_line(models: Models) -> str:
    """What containers start from here: the version that can be trusted, and what it knows."""
    if not models.version:
        return "models: none kept here; containers start from what is built in"
    known = f"hazards of {len(models.tables)} classes, reuse tables of {len(models.reuse)}"
    more = f"paces of {len(models.records)}, pressure of {len(models.pressure)} scopes"
    return f"models: version {models.version} (sha256 {models.checksum[:16]}): {known}, {more}"


def as_json(snapshot: Snapshot, found: KernelCapabilities | None = None, models: Models | None = None) -> str:
    """Return what /healthz says, and every container."""
    version = {} if models is None else {"modelsVersion": models.version, "modelsSha256": models.checksum}
    samples = {"samples": [_document(each) for each in snapshot.samples]}
    engines = {} if found is None else {"capabilities": found.as_dict()}
    return json.dumps(described(snapshot) | engines | version | samples, indent=1)


def _node_lines(snapshot: Snapshot) -> list[str]:
    memory, pressure = snapshot.kube_node.memory, snapshot.kube_node.pressure
    lines = [f"kernel {snapshot.features.kernel}, cgroup v2"]
    if memory is not None:
        available, total = size(memory.available_bytes), size(memory.total_bytes)
        swap = f"{size(memory.swap_free_bytes)} of {size(memory.swap_total_bytes)}"
        lines.append(f"memory available {available} of {total}, swap free {swap}")
    if pressure is not None:
        lines.append(f"stalled on memory in the last 10 s: {share(pressure.some.avg10_ratio)}")
    lines += [f"missing {each.what} ({each.why}): {each.without}" for each in snapshot.features.missing]
    lines += [f"pods under {each.path} ({each.driver})" for each in snapshot.roots]
    if not snapshot.roots:
        lines.append("no kubepods cgroup: no kubelet runs here, or its root is elsewhere (--cgroup-root)")
    return [*lines, f"{snapshot.pods} pods, {len(snapshot.samples)} containers"]


def _engine_lines(found: KernelCapabilities) -> list[str]:
    """By which means each engine works here, and why not by a better one."""
    rows = [(each.engine.value, each.level.value, each.why) for each in found.engines]
    lines = _columns([("ENGINE", "LEVEL", "WHY NOT MORE"), *rows])
    return [*lines, *(f"limit of this node: {each}" for each in found.limits)]


def _row(sample: ContainerSample) -> tuple[str, ...]:
    container = sample.container
    return (
        container.pod_uid,
        container.container_id[:CONTAINER_ID_LETTERS],
        container.qos.value,
        size(sample.usage_bytes),
        size(sample.working_set_bytes),
        size(sample.peak_bytes),
        size(sample.memory_max_bytes),
        size(sample.swap_bytes),
        "-" if sample.pressure is None else share(sample.pressure.some.avg10_ratio),
        str((sample.events or {}).get("oom_kill", "-")),
    )


def _document(sample: ContainerSample) -> dict[str, object]:
    container = sample.container
    return {
        "pod_uid": container.pod_uid,
        "container_id": container.container_id,
        "qos": container.qos.value,
        "cgroup": container.path,
        "usage_bytes": sample.usage_bytes,
        "working_set_bytes": sample.working_set_bytes,
        "peak_bytes": sample.peak_bytes,
        "memory_max_bytes": _finite(sample.memory_max_bytes),
        "memory_high_bytes": _finite(sample.memory_high_bytes),
        "swap_bytes": sample.swap_bytes,
        "events": sample.events,
        "psi_some_avg10_ratio": None if sample.pressure is None else sample.pressure.some.avg10_ratio,
    }


def _finite(value: float | None) -> int | str | None:
    """JSON has no infinity: the kernel's own word stands for it."""
    if value is None:
        return None
    return "max" if math.isinf(value) else int(value)


def size(value: float | None) -> str:
    """Return bytes in the binary unit that leaves one to four digits."""
    if value is None:
        return "-"
    if math.isinf(value):
        return "max"
    for unit in ("B", "Ki", "Mi", "Gi"):
        if value < 1024:
            return f"{value:.0f}{unit}" if unit == "B" or value >= 100 else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}Ti"


def share(ratio: float) -> str:
    """Return a share as a percentage."""
    return f"{ratio:.2%}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if index < _LEFT else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
