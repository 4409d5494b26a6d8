"""`plimsoll replay pages` and `plimsoll replay score pages`: replacement policies on recorded references.

In: a page trace. Out: misses at each capacity beside LRU's and Belady's and, with `--emit`, every victim in
order, so that a program that shares no code with the policy can score it. The replay contract has the rules.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from plimsoll.pages.trace import PageTrace
from plimsoll.replay.page_score import PageCase, pool
from plimsoll_cli.failure import CommandError, OptionError
from plimsoll_cli.output import OutputFormat, OutputOption, print_rows
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.emitted import can_be_emitted
from plimsoll_cli.traces.page_kernels import page_replays
from plimsoll_cli.traces.parquet import TraceError
from plimsoll_cli.traces.pgt import read_pages
from plimsoll_cli.traces.victims_file import fractions, read_victims, write_victims
from plimsoll_nodeagent.show.written import Holds

Report = Callable[[int, int], None]
References = tuple[int, int]  # misses of LRU, of Belady


def replay_command(
    trace: Annotated[Path, typer.Argument(help="A page trace (.pgt).", show_default=False)],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="plimsoll, lru, clock, s3fifo, arc, lirs or belady; repeat to compare.",
            show_default="plimsoll",
        ),
    ] = None,
    capacity: Annotated[
        str, typer.Option(help="Memory, as fractions of the trace's footprint.")
    ] = "0.1,0.25,0.5,0.75",
    emit: Annotated[Path | None, typer.Option(help="Write every victim in order to this .npz file.")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Replay a recorded sequence of page references through a replacement policy."""
    names = policy or ["plimsoll"]
    if emit is not None and len(names) > 1:
        raise OptionError("--emit writes the victims of one policy; name just one")
    sizes = fractions(capacity)
    replays = page_replays("plimsoll replay pages")
    for name in names:
        if name not in replays.POLICIES:
            raise OptionError(f"--policy {name!r}: there are {', '.join(replays.POLICIES)}")
    can_be_emitted(emit, Holds.ARRAYS, [trace])
    recorded = read_recorded(trace)
    rows: list[dict[str, object]] = []
    with progress(trace.name) as report:
        steps = Steps(report, (len(names) + 2) * len(sizes))
        bounds = bounds_of(replays, recorded, sizes, steps)
        for name in names:
            done = {}
            for word, size in sizes.items():
                done[word] = replays.replay_pages(recorded, name, size)
                steps.one()
            if emit is not None:
                write_victims(emit, {word: replay.victims for word, replay in done.items()})
            misses = {word: replay.misses for word, replay in done.items()}
            rows += outcome_rows("policy", name, recorded, sizes, misses, bounds)
    print_rows(rows, output)


def score_command(
    trace: Annotated[Path, typer.Argument(help="The trace that was replayed.", show_default=False)],
    files: Annotated[list[Path], typer.Argument(help="Victims files, as `replay pages --emit` writes them.")],
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Check victims files against the contract and score them. Exit status 1 if one breaks a rule."""
    replays = page_replays("plimsoll replay score pages")
    recorded = read_recorded(trace)
    rows: list[dict[str, object]] = []
    broken = 0
    bounds: dict[str, References] = {}
    for file in files:
        victims = read_victims(file)
        sizes = {word: float(word) for word in victims}
        fresh = {word: size for word, size in sizes.items() if word not in bounds}
        with progress(file.name) as report:
            bounds |= bounds_of(replays, recorded, fresh, Steps(report, 2 * len(fresh)))
        misses = {}
        for word, size in sizes.items():
            misses[word], rule = replays.misses_of(recorded, size, victims[word])
            if rule is not None:
                broken += 1
                del misses[word]
                typer.echo(f"{file}: capacity {word}: {rule}", err=True)
        rows += outcome_rows("file", file.name, recorded, sizes, misses, bounds)
    print_rows(rows, output)
    if broken:
        raise CommandError(f"{broken} violations of the replay contract")


def read_recorded(path: Path) -> PageTrace:
    """A trace with something in it."""
    recorded = read_pages(path)
    if not len(recorded):
        raise TraceError(f"{path}: holds no reference")
    return recorded


class Steps:
    """Counts replays for the progress bar."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._done = report, total, 0
        report(0, total)

    def one(self) -> None:
        """One more is done."""
        self._done += 1
        self._report(self._done, self._total)


def bounds_of(
    replays: ModuleType, trace: PageTrace, sizes: Mapping[str, float], steps: Steps
) -> dict[str, References]:
    """What LRU and Belady's optimum miss at each capacity."""
    found = {}
    for word, size in sizes.items():
        lru = replays.replay_pages(trace, "lru", size).misses
        steps.one()
        found[word] = lru, replays.replay_pages(trace, "belady", size).misses
        steps.one()
    return found


def outcome_rows(
    kind: str,
    name: str,
    trace: PageTrace,
    sizes: Mapping[str, float],
    misses: Mapping[str, int],
    bounds: Mapping[str, References],
) -> Iterator[dict[str, object]]:
    """A row for each capacity, and one for all."""
    cases = {word: PageCase(misses[word], *bounds[word]) for word in sizes if word in misses}
    for word, case in cases.items():
        yield {
            kind: name,
            "capacity": word,
            "pages": trace.capacity_pages(sizes[word]),
            "misses": case.misses,
            "lru_misses": case.lru_misses,
            "belady_misses": case.belady_misses,
            "misses_over_lru": case.misses_over_lru,
            "gap_closed_percent": case.gap_closed_percent,
        }
    if cases:
        pooled = pool(list(cases.values()))
        yield {
            kind: name,
            "capacity": "all",
            "pages": None,
            "misses": sum(case.misses for case in cases.values()),
            "lru_misses": sum(case.lru_misses for case in cases.values()),
            "belady_misses": sum(case.belady_misses for case in cases.values()),
            "misses_over_lru": pooled.geomean_misses_over_lru,
            "gap_closed_percent": pooled.mean_gap_percent,
        }
