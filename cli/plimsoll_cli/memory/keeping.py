"""Commands that write: learn, forget, clean, backup, restore, export, import, check.

In: the memory, directories and files. Out: what was done, in a sentence. What is forgotten is looked for
afterwards at every level; where something could not be looked at the exit status is 2.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from plimsoll.store.care import check, repair
from plimsoll.store.forgetting import forget
from plimsoll.store.levels.packing import packed, unpacked
from plimsoll.store.levels.snapshot_forms import FORMS, Form
from plimsoll.store.record import Entry, RecordError
from plimsoll_cli.failure import CommandError, FileError, OptionError
from plimsoll_cli.memory.opening import (
    RedisOption,
    SnapshotsOption,
    StoreError,
    StoreOption,
    opened,
    path_of,
    seconds_of,
    snapshots_at,
)
from plimsoll_cli.output import OutputFormat, OutputOption, print_document, print_rows
from plimsoll_cli.written import can_be_written, write_whole
from plimsoll_nodeagent.show.written import Holds, held

IN_USE = ("control", "release")  # a release is written when it changes: one that is old has proved itself
FormOption = Annotated[str, typer.Option("--form", help="json or parquet.")]


def learn_command(
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Turn learning on or off for all who share it.")
    ] = None,
    store: StoreOption = None,
    redis: RedisOption = "",
) -> None:
    """Write down patterns of what is remembered now; or turn learning on or off."""
    with opened(store, redis, make=True, gather=enable is None) as found:
        memory, now = found.memory, found.now_seconds
        if enable is not None:
            memory.set_learning(now, enabled=enable)
            typer.echo(f"Learning is {'on' if enable else 'off'}.")
            return
        if not memory.learning(now):
            raise CommandError("learning is off; `plimsoll memory learn --enable` turns it on")
        typer.echo(f"{memory.learn(now)} patterns are new or have changed.")


def forget_command(
    pattern: Annotated[str, typer.Option("--pattern", help="Keys with * and ?, or `kind key`.")],
    store: StoreOption = None,
    redis: RedisOption = "",
    snapshots: SnapshotsOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Forget at every level and in the snapshots, and prove it by looking for it afterwards."""
    if not pattern.strip():
        raise OptionError("--pattern: is empty; write keys with * and ?, for example 'shop/*'")
    with opened(store, redis, snapshots) as found:
        proof = forget(found.memory.tiers, found.memory.snapshots, pattern, found.now_seconds)
    rows = [
        {
            "level": each.level,
            "traces_before": each.before,
            "traces_after": each.after,
            "problem": each.problem or None,
        }
        for each in proof.levels
    ]
    if output in {OutputFormat.JSON, OutputFormat.YAML}:
        names = [str(each) for each in proof.addresses]
        print_document({"forgotten": names, "proven": proof.proven, "levels": rows}, output)
    else:
        print_rows(rows, output)
        said = "nothing of them is left at any level" if proof.proven else "NOT proven, see above"
        said = f"{_records(len(proof.addresses))} forgotten: {said}."
        if proof.proven and not proof.addresses:
            said = f"Nothing that is remembered is like {pattern!r}: nothing was forgotten."
        typer.echo(said, err=output is OutputFormat.CSV)
    if not proof.proven:
        raise StoreError("not proven: a level could not be looked at, or still has something; ask again")


def clean_command(
    age: Annotated[str, typer.Option("--age", help="What nobody has renewed for so long goes.")],
    store: StoreOption = None,
    redis: RedisOption = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
) -> None:
    """Remove what is old. Switches stay, and the shared models in use: `forget` removes those."""
    seconds = seconds_of("--age", age)
    with opened(store, redis, gather=True) as found:
        before = found.now_seconds - seconds
        records = [*found.memory.tiers.records()]
        old = [each for each in records if each.provenance.made_seconds < before]
        old = [each for each in old if each.address.kind not in IN_USE]
        if not dry_run:
            for each in old:
                found.memory.tiers.forget(each.address)
            found.memory.tiers.file.sweep()
    kinds = ", ".join(
        f"{many} {kind}" for kind, many in sorted(Counter(each.address.kind for each in old).items())
    )
    done = "would go" if dry_run else "are gone"
    typer.echo(
        f"{len(old)} of {len(records)} records were older than {age} and {done}{kinds and f': {kinds}'}."
    )


def backup_command(
    to: Annotated[str, typer.Argument(help="Directory, or what fsspec understands.")],
    form: FormOption = "json",
    store: StoreOption = None,
    redis: RedisOption = "",
) -> None:
    """Write a snapshot: numbered, checksummed, whole or not there."""
    if "://" not in to and not Path(to).absolute().parent.is_dir():
        raise FileError(f"{to}: there is no directory {Path(to).parent}")
    target = snapshots_at(to, form)
    with opened(store, redis, gather=True) as found:
        entries = [*found.memory.entries()]
        if not entries:
            raise CommandError("nothing is remembered: no snapshot of nothing is made")
        made = target.write(entries, found.now_seconds)
    typer.echo(
        f"Snapshot {made.number}: {made.records} records, {made.contents} contents, sha256 {made.sha256}."
    )


def restore_command(
    of: Annotated[str, typer.Argument(help="Directory, or what fsspec understands.")],
    number: Annotated[
        int | None, typer.Option(help="Which snapshot.", show_default="the newest whole one")
    ] = None,
    store: StoreOption = None,
    redis: RedisOption = "",
) -> None:
    """Join a snapshot to what is here. What is newer here stays."""
    source = snapshots_at(of, "json")
    with opened(store, redis, make=True) as found:
        taken, same = found.memory.take_in(source.read(number))
    typer.echo(f"{taken} records were taken in, {same} were here already.")


def export_command(
    file: Annotated[Path, typer.Argument(help="File to write: lines of JSON, or Parquet by its name.")],
    store: StoreOption = None,
    redis: RedisOption = "",
) -> None:
    """Write everything into one file."""
    _refuse_the_memory(file, path_of(store))
    can_be_written(file, Holds.TABLE if file.suffix == ".parquet" else Holds.EXPORT)
    if held(file) is Holds.TABLE and not _is_export(file):
        raise FileError(f"{file}: holds a recording, or what cannot be read; name another file")
    with opened(store, redis, gather=True) as found:
        entries = [*found.memory.entries()]
    contents = {each.record.digest: packed(each.content) for each in entries}
    write_whole(file, _form_of(file).write([each.record for each in entries], contents))
    typer.echo(f"{_records(len(entries))} in {file}.")


def import_command(
    file: Annotated[
        Path | None, typer.Argument(help="What `export` has written.", show_default=False)
    ] = None,
    traces: Annotated[
        list[Path] | None, typer.Option(help="Recorded usage instead: Parquet files, or `sample`.")
    ] = None,
    store: StoreOption = None,
    redis: RedisOption = "",
) -> None:
    """Join a file's records to what is here, or remember recorded usage."""
    if (file is None) == (not traces):
        raise CommandError("name a file, or --traces")
    with opened(store, redis, make=True) as found:
        if traces:
            from plimsoll_cli.memory.recordings import remember  # noqa: PLC0415

            many = remember(found.memory, traces, found.now_seconds)
            typer.echo("1 history is remembered." if many == 1 else f"{many} histories are remembered.")
            return
        taken, same = found.memory.take_in(_read(file) if file else ())
    typer.echo(f"{taken} records were taken in, {same} were here already.")


def check_command(
    fix: Annotated[bool, typer.Option("--repair", help="Put right what can be.")] = False,
    store: StoreOption = None,
    redis: RedisOption = "",
    snapshots: SnapshotsOption = "",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Look for damage at every level; with --repair put it right and migrate older schemas."""
    with opened(store, redis, snapshots, set_aside=fix) as found:
        tiers, snaps, now = found.memory.tiers, found.memory.snapshots, found.now_seconds
        if fix:
            done = repair(tiers, now)
            found.memory.send(now, lambda: True)
            typer.echo(f"{done} things were put right.", err=output is not OutputFormat.TABLE)
        findings = check(tiers, snaps, now)
    rows = [{"level": each.level, "finding": each.what, "repairable": each.repairable} for each in findings]
    if rows or output is not OutputFormat.TABLE:
        print_rows(rows, output)
    else:
        typer.echo("Nothing is wrong.")
    if rows:
        raise CommandError(f"{len(rows)} findings")


COMMANDS = {
    "learn": learn_command,
    "forget": forget_command,
    "clean": clean_command,
    "backup": backup_command,
    "restore": restore_command,
    "export": export_command,
    "import": import_command,
    "check": check_command,
}


def _records(many: int) -> str:
    """`1 record is`, `2 records are`."""
    return "1 record is" if many == 1 else f"{many} records are"


def _form_of(file: Path) -> Form:
    return FORMS["parquet" if file.suffix == ".parquet" else "json"]


def _refuse_the_memory(file: Path, store: Path) -> None:
    """Raise where an export would overwrite this memory, or a part of it."""
    for each in (store, *(Path(f"{store}{end}") for end in ("-wal", "-shm", "-journal"))):
        if file.resolve() == each.resolve() or (file.exists() and each.exists() and file.samefile(each)):
            raise FileError(f"{file}: is the memory itself, and would be overwritten; name another file")


def _is_export(file: Path) -> bool:
    """Whether a Parquet file is an earlier export; what cannot be read is none: they are written whole."""
    import pyarrow as pa  # noqa: PLC0415  (the operator's image has none, and writes JSON)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return {"said", "packed"} <= set(pq.read_schema(file).names)
    except (pa.ArrowException, OSError):
        return False


def _read(file: Path) -> list[Entry]:
    try:
        form, data = _form_of(file), file.read_bytes()
        records, contents = form.read(data)
        if not form.closed(data):
            raise FileError(f"{file}: is cut off: its last line, which counts the others, is missing")
        return [Entry(each, unpacked(contents[each.digest])) for each in records]
    except OSError as error:
        raise FileError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (RecordError, KeyError) as error:
        raise FileError(f"{file}: is no export of a memory: {error}") from error
