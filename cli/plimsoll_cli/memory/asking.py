"""Commands that read: status, patterns, search, analyze, predict, suggest, optimize.

In: the memory. Out: rows. Whatever speaks of the future is the operator's own pipeline over the histories in
the memory, and where Redis is named over the fleet's, which is brought into the file first; nothing is set.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Annotated

import typer

from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.objective import oom_price_of
from plimsoll.store.incidents import Incident
from plimsoll.store.learning import Pass, last_pass
from plimsoll.store.levels.snapshots import Snapshots
from plimsoll.store.outlook import Outlook, outlooks, suggestions
from plimsoll.store.search import LEAST_SCORE
from plimsoll_cli.ages import age
from plimsoll_cli.amounts import short, signed
from plimsoll_cli.failure import CommandError, OptionError
from plimsoll_cli.memory.opening import (
    NO_FILE,
    Opened,
    RedisOption,
    SnapshotsOption,
    StoreError,
    StoreOption,
    opened,
    seconds_of,
)
from plimsoll_cli.output import OutputFormat, OutputOption, print_document, print_rows

DAY_SECONDS = 86_400
RECORDED = "/Series/"  # in the key of a recording that was imported
NOTHING = "Nothing has been learned yet."
LEARNING_OFF = "Learning is off: operators remember and learn nothing (`plimsoll memory learn --enable`)."


def status_command(
    store: StoreOption = None,
    redis: RedisOption = "",
    snapshots: SnapshotsOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """What the memory holds at each level, and whether Redis has it all."""
    with opened(store, redis, snapshots) as found:
        rows, problems = _levels(found)
        learning = found.memory.learning(found.now_seconds)
        learned = last_pass(found.memory, found.now_seconds)
        kinds = dict(sorted(found.memory.analyze(found.now_seconds, 0).records.items()))
    if output in {OutputFormat.JSON, OutputFormat.YAML}:
        passed = None if learned is None else asdict(learned)
        print_document({"learning": learning, "patterns": passed, "kinds": kinds, "levels": rows}, output)
    else:
        if output is OutputFormat.TABLE:
            typer.echo(f"Learning is on. {_passed(learned, found.now_seconds)}" if learning else LEARNING_OFF)
            typer.echo(", ".join(f"{count} {kind}" for kind, count in kinds.items()) or NOTHING)
        print_rows(rows, output)
    if problems:
        raise StoreError("; ".join(problems))


def patterns_command(
    store: StoreOption = None, redis: RedisOption = "", output: OutputOption = OutputFormat.TABLE
) -> None:
    """Patterns that were learned, one a container."""
    with opened(store, redis, gather=True) as found:
        rows = [
            {
                "key": record.address.key,
                "shape": document.get("shape"),
                "pattern": document.get("text"),
                "samples": record.provenance.samples,
                "age": age(record.provenance.made_seconds, found.now_seconds),
            }
            for record, document in found.memory.documents("pattern")
        ]
    _rows(rows, output)


def search_command(
    text: Annotated[str, typer.Argument(help="Words, spelt nearly right or meaning nearly the same.")],
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="How many to show.")] = 10,
    store: StoreOption = None,
    redis: RedisOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Find patterns, incidents and workloads."""
    with opened(store, redis, gather=True) as found:
        texts = found.memory.texts()
        hits = found.memory.search(text, most)
    rows = [
        {"name": each.name, "score": each.score, "by": each.how, "says": texts[each.name]} for each in hits
    ]
    if not rows and output is OutputFormat.TABLE:
        typer.echo(f"Nothing is like {text!r} (no score above {LEAST_SCORE}).")
        return
    _rows(rows, output)


def analyze_command(
    timeframe: Annotated[str, typer.Option(help="How far back `lately` reaches.")] = "7d",
    store: StoreOption = None,
    redis: RedisOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """What the memory is made of, and what is new in it."""
    seconds = seconds_of("--timeframe", timeframe)
    with opened(store, redis, gather=True) as found:
        analysis = found.memory.analyze(found.now_seconds, seconds)
        now = found.now_seconds
    if output in {OutputFormat.JSON, OutputFormat.YAML}:
        said = {field.name: getattr(analysis, field.name) for field in fields(analysis)}
        plain = {name: dict(each) if isinstance(each, Mapping) else each for name, each in said.items()}
        print_document(plain, output)
        return
    rows = [
        {"kind": kind, "records": count, f"last {timeframe}": analysis.lately.get(kind, 0)}
        for kind, count in sorted(analysis.records.items())
    ]
    _rows(rows, output)
    if output is OutputFormat.TABLE and rows:
        shapes = ", ".join(f"{count} {shape}" for shape, count in sorted(analysis.shapes.items()))
        typer.echo(
            f"{analysis.kube_nodes} kube nodes, {analysis.samples} samples. Shapes: {shapes or 'none yet'}."
        )
        if analysis.incidents:
            named = ", ".join(f"{count} {what}" for what, count in sorted(analysis.incidents.items()))
            typer.echo(f"Incidents of the last {timeframe}: {named}.")
        typer.echo(
            f"Newest {age(analysis.newest_seconds, now)}, oldest {age(analysis.oldest_seconds, now)} ago."
        )


def predict_command(
    key: Annotated[
        str | None, typer.Argument(help="Container as `patterns` shows it.", show_default="all")
    ] = None,
    horizon: Annotated[str, typer.Option(help="How far ahead, 5m to 24h.")] = "1h",
    store: StoreOption = None,
    redis: RedisOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """The peak to come, as the operator would forecast it from what is remembered."""
    seconds = seconds_of("--horizon", horizon)
    if not 300 <= seconds <= 86_400:
        raise OptionError(f"--horizon {horizon}: must lie between 5m and 24h")
    seen, incidents = _asked(store, redis, key, PipelineSettings(horizon_seconds=seconds))
    lately = {each.whose: each for each in reversed(incidents)}
    rows = [
        {
            "key": each.key,
            "shape": each.shape,
            **_quantiles(each, output),
            "note": _note(each) or _went_wrong(lately.get(each.key)),
        }
        for each in seen
    ]
    _rows(rows, output)


def suggest_command(
    store: StoreOption = None, redis: RedisOption = "", output: OutputOption = OutputFormat.TABLE
) -> None:
    """What is worth a look, the most urgent first: what went wrong within a week, limits that are far off."""
    seen, incidents = _asked(store, redis, None, PipelineSettings())
    said = suggestions(seen, incidents)
    if not said and output is OutputFormat.TABLE:
        typer.echo("Nothing is worth a look: no limit is far off, nothing grows, nothing was killed.")
        return
    _rows([{"key": key, "suggestion": sentence} for key, sentence in said], output)


def optimize_command(
    target: Annotated[str, typer.Option(help="Operating point: balanced, slack:X or oom:X.")] = "balanced",
    store: StoreOption = None,
    redis: RedisOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Limits for everything remembered, at an operating point. Nothing is set."""
    try:
        oom_price_of(target)
    except ValueError as error:
        raise OptionError(f"--target: {error}") from error
    seen, _ = _asked(store, redis, None, PipelineSettings(objective=target))
    amount = short if output is OutputFormat.TABLE else lambda value: value
    change = signed if output is OutputFormat.TABLE else lambda value: value
    unit = "" if output is OutputFormat.TABLE else "_bytes"
    rows = [
        {
            "key": each.key,
            f"limit{unit}": amount(each.limit_bytes),
            f"target{unit}": None if each.target_bytes is None else amount(each.target_bytes),
            f"saved{unit}": change(each.saved_bytes),
            "note": _note(each),
        }
        for each in seen
    ]
    _rows(rows, output)


COMMANDS = {
    "status": status_command,
    "patterns": patterns_command,
    "search": search_command,
    "analyze": analyze_command,
    "predict": predict_command,
    "suggest": suggest_command,
    "optimize": optimize_command,
}


def _asked(
    store: StoreOption, redis: str, key: str | None, settings: PipelineSettings
) -> tuple[list[Outlook], list[Incident]]:
    """Outlooks at the present moment, of recordings at theirs; and what went wrong within a week."""
    with opened(store, redis, gather=True) as found:
        histories = found.memory.histories()
        incidents = found.memory.incidents(found.now_seconds - 7 * DAY_SECONDS)
    if key is not None and key not in histories:
        raise CommandError(f"nothing is remembered of {key!r}; `plimsoll memory search {key}` may find it")
    chosen = histories if key is None else {key: histories[key]}
    return outlooks(chosen, time.time(), settings), incidents


def _passed(learned: Pass | None, now_seconds: float) -> str:
    """When an operator learned patterns last, and of how much."""
    if learned is None:
        return "No operator has learned patterns yet."
    said = f"{learned.looked} histories were new, {learned.changed} patterns with them"
    if learned.failed:
        said += f"; of {learned.failed} none could be made, the last {learned.why}"
    if learned.ended_seconds is None:
        return f"Patterns are being learned since {age(learned.begun_seconds, now_seconds)}: {said}."
    return f"Patterns were last learned {age(learned.ended_seconds, now_seconds)} ago: {said}."


def _note(each: Outlook) -> str | None:
    """What is wrong with it, or of which day it speaks where that is not today."""
    ago = time.time() - each.as_of_seconds
    if each.problem or not each.as_of_seconds:
        return each.problem or None
    if RECORDED in each.key:
        return "as of the end of its recording"
    if abs(ago) < DAY_SECONDS:
        return None
    return f"as of {datetime.fromtimestamp(each.as_of_seconds, UTC):%Y-%m-%d}, when it was last seen"


def _went_wrong(newest: Incident | None) -> str | None:
    """What went wrong last with a container, within a week."""
    return None if newest is None else f"{newest.what} {age(newest.at_seconds, time.time())} ago"


def _quantiles(each: Outlook, output: OutputFormat) -> dict[str, object]:
    """The forecast's columns, the same for every row."""
    levels = dict(each.quantiles)
    shown = (0.5, 0.9, 0.95, 0.99, 0.999)
    if output is OutputFormat.TABLE:
        return {f"p{100 * level:g}": short(levels[level]) if level in levels else None for level in shown}
    return {f"p{100 * level:g}_bytes": levels.get(level) for level in shown}


def _levels(found: Opened) -> tuple[list[dict[str, object]], list[str]]:
    """One row a level, and what is wrong with those that could not be looked at."""
    problems: list[str] = []
    tiers = found.memory.tiers
    counts = tiers.file.counts()
    rows: list[dict[str, object]] = [
        _level(
            "file",
            counts["records"],
            counts["contents"],
            counts["pending"] + counts["sent"],
            "no file yet" if str(tiers.file.path) == NO_FILE else str(tiers.file.path),
        )
    ]
    if tiers.shared is not None:
        rows.append(_of_redis(found, problems))
    if found.memory.snapshots is not None:
        rows.append(_of_snapshots(found.memory.snapshots, found.now_seconds, problems))
    return rows, problems


def _of_snapshots(snapshots: Snapshots, now_seconds: float, problems: list[str]) -> dict[str, object]:
    if not snapshots.exists():
        note = f"{snapshots.url}: there is no such directory"
        problems.append(f"snapshots: {note}")
        return _level("snapshots", None, None, None, note)
    whole, unsound = snapshots.all(), snapshots.unsound()
    last = age(whole[0].made_seconds, now_seconds) if whole else None
    note = f"{len(whole)} whole, the newest {last} old" if whole else "none yet"
    if unsound:
        note += f"; {len(unsound)} not whole, see `plimsoll memory check`"
    return _level("snapshots", whole[0].records if whole else 0, None, None, note)


def _of_redis(found: Opened, problems: list[str]) -> dict[str, object]:
    tiers = found.memory.tiers
    shared = tiers.shared
    if shared is None:
        raise ValueError("nothing is shared")
    sent = found.memory.send(found.now_seconds)
    if sent.failure:
        problems.append(sent.failure)
        return _level("redis", None, None, sent.waiting, sent.failure)
    records = tiers.ask(lambda level: sum(1 for _ in level.records()), "records", found.now_seconds)
    contents = tiers.ask(lambda level: level.content_count(), "contents", found.now_seconds)
    return _level("redis", records, contents, sent.waiting, str(shared.address))


def _level(
    name: str, records: int | None, contents: int | None, waiting: int | None, note: str
) -> dict[str, object]:
    return {"level": name, "records": records, "contents": contents, "waiting": waiting, "note": note}


def _rows(rows: Sequence[dict[str, object]], output: OutputFormat) -> None:
    if not rows and output is OutputFormat.TABLE:
        typer.echo(NOTHING)
        return
    print_rows(rows, output)
