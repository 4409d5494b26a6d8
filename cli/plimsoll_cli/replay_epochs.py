"""`plimsoll replay epochs` and `plimsoll replay score epochs`: reclaim and prefetch over recorded pages.

In: `.pgt` traces. Out: one row a policy and target, and with `--emit` every page-out, so that a program that
shares no code with the policy can score it too. The rules are those of the replay contract.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plimsoll_cli.failure import CommandError, OptionError
from plimsoll_cli.output import OutputFormat, OutputOption, Row, print_rows
from plimsoll_cli.progress import progress
from plimsoll_nodeagent.show.written import Holds

if TYPE_CHECKING:
    from plimsoll.pages.epochs import EpochView
    from plimsoll.replay.epochs import EpochReplay

MAX_VIOLATIONS_SHOWN = 20
EPOCHS = 400
MOST_EPOCHS = 1_000_000

Trace = Annotated[Path, typer.Argument(help="A recorded trace (.pgt).", show_default=False)]
Epochs = Annotated[int, typer.Option(min=1, max=MOST_EPOCHS, help="Epochs of equal raw references.")]
Target = Annotated[float, typer.Option(help="Refaults per accessed page-epoch that are allowed.")]


def replay_epochs_command(
    trace: Trace,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="plimsoll (as the node agent runs it), budgeted (without its guard), idle:EPOCHS, "
            "idle-adaptive, lru:FRACTION or oracle; repeat to compare.",
            show_default="plimsoll",
        ),
    ] = None,
    epochs: Epochs = EPOCHS,
    target: Target = 0.01,
    prefetch: Annotated[
        bool, typer.Option("--prefetch", help="Bring pages back before they are asked for, where earned.")
    ] = False,
    emit: Annotated[Path | None, typer.Option(help="Write every decision to this .npz file.")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Replay reclaim over the accessed bits of recorded epochs and score it."""
    from plimsoll.replay.epochs_policies import replay_by_name  # noqa: PLC0415
    from plimsoll_cli.traces.emitted import can_be_emitted  # noqa: PLC0415
    from plimsoll_cli.traces.epochs_file import write_epochs  # noqa: PLC0415

    names = policy or ["plimsoll"]
    if emit is not None and len(names) > 1:
        raise OptionError("--emit writes the decisions of one policy; name just one")
    can_be_emitted(emit, Holds.ARRAYS, [trace])
    view = _view(trace, epochs)
    rows = []
    with progress(trace.name) as report:
        for done, name in enumerate(names):
            report(done, len(names))
            try:
                replay = replay_by_name(name, view, target, prefetch=prefetch)
            except ValueError as error:
                raise OptionError(str(error)) from error
            if emit is not None:
                write_epochs(emit, view, replay, prefetch=prefetch)
            rows.append(_row(name, view, replay, target, prefetch=prefetch))
    print_rows(rows, output)
    _say_unscored(epochs)
    if emit is not None and epochs != EPOCHS:
        # The contract's file does not hold the count, and outside programs read the same file.
        typer.echo(f"Note: {emit} is made with {epochs} epochs: score it with --epochs {epochs}", err=True)


def score_epochs_command(
    trace: Trace,
    files: Annotated[list[Path], typer.Argument(help="Files as `replay epochs --emit` writes them.")],
    epochs: Epochs = EPOCHS,
    target: Target = 0.01,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Check decisions against the contract and score them. Exit status 1 if one breaks a rule."""
    from plimsoll.replay.epochs_score import violations  # noqa: PLC0415
    from plimsoll_cli.traces.epochs_file import read_epochs  # noqa: PLC0415

    view = _view(trace, epochs)
    rows, broken = [], 0
    for file in files:
        replay = read_epochs(file, view)
        found = violations(view, replay)
        for violation in found[:MAX_VIOLATIONS_SHOWN]:
            typer.echo(f"{file}: {violation}", err=True)
        broken += len(found)
        if not found:
            rows.append(_row(file.name, view, replay, target, prefetch=bool(len(replay.prefetch_at))))
    print_rows(rows, output)
    _say_unscored(epochs)
    if broken:
        same = f"a file made with another count than --epochs {epochs} has to be scored with that"
        raise CommandError(f"{broken} violations of the replay contract ({same})")


def _say_unscored(epochs: int) -> None:
    from plimsoll.replay.epochs import SCORED_FROM_EPOCH  # noqa: PLC0415

    if epochs <= SCORED_FROM_EPOCH:
        text = f"nothing is scored: scores are counted from epoch {SCORED_FROM_EPOCH} on, here are {epochs}"
        typer.echo(f"Note: {text}", err=True)


def _view(trace: Path, epochs: int) -> "EpochView":
    from plimsoll.pages.epochs import cut  # noqa: PLC0415  (keeps `plimsoll --help` fast)
    from plimsoll_cli.traces.parquet import TraceError  # noqa: PLC0415
    from plimsoll_cli.traces.pgt import read_pages  # noqa: PLC0415

    recorded = read_pages(trace)
    if epochs > max(EPOCHS, len(recorded)):
        raise OptionError(f"--epochs {epochs}: {trace} has only {len(recorded)} references")
    try:
        return cut(recorded, epochs)
    except ValueError as error:
        raise TraceError(f"{trace}: {error}") from error


def _row(name: str, view: "EpochView", replay: "EpochReplay", target: float, *, prefetch: bool) -> Row:
    from plimsoll.replay.epochs_score import score_epochs  # noqa: PLC0415

    score = score_epochs(view, replay)
    row: dict[str, object] = {
        "policy": name,
        "reclaimed": score.reclaimed,
        "refault_rate": score.refault_rate,
        "over_target": score.refault_rate / target,
        "oracle_reclaimed": score.oracle_reclaimed,
        "share_of_oracle": score.share_of_oracle,
        "page_outs": len(replay.at),
        "refaults": score.refaults,
    }
    if prefetch:
        row |= {"prefetched": score.prefetched, "coverage": score.coverage, "io_ratio": score.io_ratio}
    return row
