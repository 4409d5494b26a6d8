"""Commands for when something is odd: debug, trace, profile.

In: a record's name, a duration. Out: what each level has of it, the way that one reading takes, and how long
readings and writings take.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import typer

from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.record import Address, Entry, Provenance, Record, RecordError, entry_of
from plimsoll_cli.ages import age
from plimsoll_cli.failure import CommandError
from plimsoll_cli.memory.opening import Opened, RedisOption, StoreOption, failures, opened, seconds_of
from plimsoll_cli.output import OutputFormat, OutputOption, print_document, print_rows

Kind = Annotated[str, typer.Argument(help="Kind of record: history, pattern, incident, ...")]
Key = Annotated[str, typer.Argument(help="Its key, as `search` shows it.")]
SHOWN_NUMBERS = 8
REDIS_PAUSE_SECONDS = 0.01  # others work with it meanwhile
CONTENT = encode({"numbers": np.arange(512.0)})  # 4 KiB, the size of a model


def debug_command(
    kind: Kind,
    key: Key,
    store: StoreOption = None,
    redis: RedisOption = "",
    output: OutputOption = OutputFormat.JSON,
) -> None:
    """All that is known of one record, its content included."""
    with opened(store, redis) as found, failures():
        address = Address(kind, key)
        held = found.memory.tiers.file.held(address)
        entry = found.memory.tiers.retrieve(address, found.now_seconds)
        if entry is None:
            raise CommandError(f"nothing is remembered as {address}")
        record = entry.record
        try:
            content: object = _shown(decode(entry.content))
        except ContentError as error:
            content = str(error)
        said = record.provenance
        document = {
            "kind": kind,
            "key": key,
            "schema": record.schema,
            "version": record.version,
            "digest": record.digest,
            "size_bytes": record.size_bytes,
            "kube_nodes": list(said.kube_nodes),
            "samples": said.samples,
            "made_seconds": said.made_seconds,
            "state": held.state.name.lower() if held else None,
            "shared_version": held.base if held else None,
            "content": content,
        }
    print_document(document, OutputFormat.JSON if output is OutputFormat.TABLE else output)


def trace_command(
    kind: Kind,
    key: Key,
    store: StoreOption = None,
    redis: RedisOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """The way of one reading through the levels: who has which version, and how long each took."""
    with opened(store, redis) as found, failures():
        address = Address(kind, key)
        tiers = found.memory.tiers
        rows = [
            _step("process", lambda: tiers.process.head(address), found),
            _step("file", lambda: tiers.file.head(address), found),
        ]
        if tiers.shared is not None:
            shared = tiers.shared
            rows.append(_step("redis", lambda: shared.head(address), found))
        begun = time.perf_counter()
        entry = tiers.retrieve(address, found.now_seconds)
        took = time.perf_counter() - begun
        rows.append(_row("answer", entry.record if entry else None, took, found.now_seconds))
    if all(row["version"] is None and not row["note"] for row in rows):
        raise CommandError(f"nothing is remembered of {kind} {key}, at any level")
    print_rows(rows, output)


def profile_command(
    duration: Annotated[str, typer.Option(help="How long to measure.")] = "5s",
    store: StoreOption = None,
    redis: RedisOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Read and write a record of its own over and over, and say how long each level took."""
    seconds = seconds_of("--duration", duration)
    with opened(store, redis) as found:
        tiers = found.memory.tiers
        address = Address("control", "profile-of-the-store")  # of a kind that no listing shows
        entry = entry_of(address, CONTENT, Provenance())
        steps: dict[tuple[str, str], Callable[[], object]] = {
            ("process", "read"): lambda: tiers.process.get(address),
            ("file", "write"): lambda: tiers.file.keep(entry, 0),
            ("file", "read"): lambda: tiers.file.get(address),
        }
        if tiers.shared is not None:
            shared = tiers.shared
            head = shared.head(address)
            versions = itertools.count(1 + (head.version if head else 0))
            newer = (Entry(entry.record.at(version), CONTENT) for version in versions)
            steps["redis", "write"] = lambda: shared.put(next(newer), None)
            steps["redis", "read"] = lambda: shared.get(address)
        tiers.process.put(entry, None)
        try:
            taken = {
                name: _measured(
                    step, seconds / len(steps), REDIS_PAUSE_SECONDS if name[0] == "redis" else 0.0
                )
                for name, step in steps.items()
            }
        finally:
            tiers.forget(address)
    print_rows([_profile(*name, times) for name, times in taken.items()], output)


COMMANDS = {"debug": debug_command, "trace": trace_command, "profile": profile_command}


def _measured(step: Callable[[], object], seconds: float, pause_seconds: float) -> list[float]:
    """Seconds of each repetition; at least one. The pause between two is not counted."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
        time.sleep(pause_seconds)
    return times


def _profile(level: str, operation: str, times: list[float]) -> dict[str, object]:
    ordered = sorted(times)
    return {
        "level": level,
        "operation": operation,
        "count": len(times),
        "median_microseconds": round(1e6 * statistics.median(times), 1),
        "p99_microseconds": round(1e6 * ordered[int(0.99 * (len(ordered) - 1))], 1),
        "worst_microseconds": round(1e6 * ordered[-1], 1),
    }


def _step(level: str, ask: Callable[[], Record | None], found: Opened) -> dict[str, object]:
    begun = time.perf_counter()
    try:
        record, problem = ask(), ""
    except (LevelError, RecordError) as error:
        record, problem = None, str(error)
    return _row(level, record, time.perf_counter() - begun, found.now_seconds, problem)


def _row(
    level: str, record: Record | None, seconds: float, now_seconds: float, problem: str = ""
) -> dict[str, object]:
    known = record is not None and not record.forgotten
    return {
        "level": level,
        "version": record.version if record else None,
        "digest": record.digest[:12] if record and known else None,
        "age": age(record.provenance.made_seconds, now_seconds) if record and known else None,
        "microseconds": round(1e6 * seconds, 1),
        "note": problem or ("forgotten" if record and not known else None),
    }


def _shown(value: object) -> object:
    """A document for people: arrays by their shape and first numbers."""
    if isinstance(value, dict):
        return {key: _shown(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if isinstance(value, np.ndarray):
        first = [each if np.isfinite(each) else None for each in value.ravel()[:SHOWN_NUMBERS].tolist()]
        return {"type": str(value.dtype), "shape": list(value.shape), "first": first}
    return value
