"""`plimsoll replay limits` and `plimsoll replay score limits`: what would have happened to recorded
containers.

In: trace files. Out: a table of outcomes by class of series and, with `--emit`, every limit in force, so
that a program that shares no code with the recommender can score it too. The rules are those of the replay
contract.
"""

from pathlib import Path
from typing import Annotated

import typer

from plimsoll_cli.failure import CommandError, OptionError
from plimsoll_cli.output import OutputFormat, OutputOption, print_rows
from plimsoll_cli.recommend import note_reach
from plimsoll_cli.replay_epochs import replay_epochs_command, score_epochs_command
from plimsoll_cli.replay_pages import replay_command as replay_pages_command
from plimsoll_cli.replay_pages import score_command as score_pages_command
from plimsoll_cli.traces.engine import Engine
from plimsoll_nodeagent.show.written import Holds

app = typer.Typer(help="Replay recorded memory and score what would have happened.", no_args_is_help=True)
score_app = typer.Typer(
    help="Score decisions that were written down, by the contract's rules.", no_args_is_help=True
)
app.add_typer(score_app, name="score")

BIN_SECONDS = 300
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MAX_VIOLATIONS_SHOWN = 20

Traces = Annotated[
    list[Path], typer.Argument(help="Parquet files, directories of them, or `sample`.", show_default=False)
]
Warmup = Annotated[
    str,
    typer.Option(
        help="Usage is only watched for so long. `auto`: 24h, or 3h for a file that spans under two days."
    ),
]
DecideEvery = Annotated[str, typer.Option(help="How long a decision window is.")]


@app.command("limits")
def replay_command(  # noqa: PLR0913, PLR0917  (options of a command)
    traces: Traces,
    recommender: Annotated[
        list[str] | None,
        typer.Option(
            help="plimsoll, plimsoll-no-guard, vpa, vpa-guarded, vpa-climb, krr, autopilot, autopilot-ml, "
            "static or oracle; repeat to compare.",
            show_default="plimsoll",
        ),
    ] = None,
    warmup: Warmup = "24h",
    decide_every: DecideEvery = "1h",
    guard_every: Annotated[str, typer.Option(help="How often a limit may rise at once.")] = "5m",
    objective: Annotated[
        str | None, typer.Option(help="Plimsoll's operating point: balanced, slack:X or oom:X.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Plimsoll's forecast model; also one that no policy may name. prophet and boosted need the "
            "extra `forecast`."
        ),
    ] = None,
    emit: Annotated[
        Path | None, typer.Option(help="Write every limit in force to this Parquet file.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes. The limits are the same for any number.")] = 1,
    engine: Annotated[
        Engine,
        typer.Option(
            help="Who replays: own processes, or dask (the extra `dask`): the cluster that "
            "$DASK_SCHEDULER_ADDRESS names, else --jobs of dask's processes here."
        ),
    ] = Engine.PROCESSES,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Replay memory limits over recorded usage and score them."""
    from plimsoll_cli.traces.emitted import can_be_emitted  # noqa: PLC0415
    from plimsoll_cli.traces.limits_file import write_limits  # noqa: PLC0415
    from plimsoll_cli.traces.parquet import read_traces, trace_files  # noqa: PLC0415  (keeps `plimsoll --help` fast)
    from plimsoll_cli.traces.run import Timing, outcome_rows, refuse_unscored, run, run_scores  # noqa: PLC0415

    names = recommender or ["plimsoll"]
    if emit is not None and len(names) > 1:
        raise OptionError("--emit writes the limits of one recommender; name just one")
    timing = Timing(
        None if warmup == "auto" else bins_of("--warmup", warmup),
        bins_of("--decide-every", decide_every),
        bins_of("--guard-every", guard_every),
    )
    can_be_emitted(emit, Holds.TABLE, trace_files(traces))
    batches = read_traces(traces)
    rows = []
    for name in names:
        replays = run(name, batches, timing, objective=objective, jobs=jobs, engine=engine, model=model)
        scores = run_scores(replays)
        if emit is not None:
            write_limits(emit, replays)
        refuse_unscored(scores, batches, warmup)
        rows += outcome_rows(name, scores)
    if objective is not None:
        note_reach(objective)
    print_rows(rows, output)


@score_app.command("limits")
def score_command(
    files: Annotated[list[Path], typer.Argument(help="Limits files, as `replay limits --emit` writes them.")],
    traces: Annotated[list[Path], typer.Option(help="The traces that were replayed; repeat for more.")],
    warmup: Warmup = "24h",
    decide_every: DecideEvery = "1h",
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Check limits files against the contract and score them. Exit status 1 if one breaks a rule."""
    from plimsoll_cli.traces.limits_file import read_limits  # noqa: PLC0415
    from plimsoll_cli.traces.parquet import read_traces  # noqa: PLC0415
    from plimsoll_cli.traces.run import Timing, adopt, outcome_rows, refuse_unscored, run_scores  # noqa: PLC0415

    timing = Timing(
        None if warmup == "auto" else bins_of("--warmup", warmup), bins_of("--decide-every", decide_every), 1
    )
    batches = read_traces(traces)
    rows, broken = [], 0
    for file in files:
        replays, violations = adopt(read_limits(file), batches, timing)
        scores = run_scores(replays)
        if not violations:  # a broken rule may be why, and is the better answer
            refuse_unscored(scores, batches, warmup)
        rows += outcome_rows(file.name, scores)
        broken += len(violations)
        for violation in violations[:MAX_VIOLATIONS_SHOWN]:
            typer.echo(f"{file}: {violation}", err=True)
    print_rows(rows, output)
    if broken:
        raise CommandError(f"{broken} violations of the replay contract")


def bins_of(option: str, text: str) -> int:
    """A duration such as 24h or 5m in bins of five minutes."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNIT_SECONDS or not number.isdigit():
        raise OptionError(f"{option} {text!r}: want a duration such as 24h or 5m")
    bins, rest = divmod(int(number) * UNIT_SECONDS[unit], BIN_SECONDS)
    if rest or bins < 1:
        raise OptionError(f"{option} {text!r}: must be a multiple of 5m")
    return bins


app.command("pages")(replay_pages_command)
score_app.command("pages")(score_pages_command)
app.command("epochs")(replay_epochs_command)
score_app.command("epochs")(score_epochs_command)
