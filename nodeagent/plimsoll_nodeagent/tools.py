"""The commands of `plimsoll-agent` beside `run` and `status`: recorded memory, page models, one-off reclaim.

In: flags. Out: text, files, exit codes: 0 done; 1 refused or failed, with one sentence; 2 a file or socket
that cannot be read or written, or flags that make no sense. `record`, `damon` and `reclaim` look at named
cgroups and need no Kubernetes; `set-policy` and `mempred` speak with a running agent through its local
socket.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from plimsoll.pages.cold import POLICY_NAMES
from plimsoll.pages.recording import learnt
from plimsoll.pages.recording_replay import AGENT_POLICIES, policy_for_replay, replayed
from plimsoll.pages.survival import AGE_EDGES, SurvivalModel
from plimsoll.pressure.registry import NAMES as PREDICTOR_NAMES
from plimsoll_nodeagent.control.models import Learnt, ModelStore
from plimsoll_nodeagent.flags import DEFAULT_SOCKET, DEFAULT_STATE, acting_flags, columns, positive, seconds
from plimsoll_nodeagent.kernelfs import KernelFs, Mode
from plimsoll_nodeagent.recorder import RecordError, record
from plimsoll_nodeagent.serve.local import ask
from plimsoll_nodeagent.show.files import RecordingError, is_recording, load, save
from plimsoll_nodeagent.show.report import html, terminal
from plimsoll_nodeagent.show.scale import seconds_text
from plimsoll_nodeagent.show.svg import svg
from plimsoll_nodeagent.show.written import Holds, held, refusal, write_whole
from plimsoll_nodeagent.trial import dry_run_text, look_damon

FAILED = 1
NO_FILE = 2
Commands = Any  # argparse's own type of subparsers is private


def add_tools(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the commands."""
    _record_flags(
        commands.add_parser("record", parents=[shared], help="record a cgroup's accesses to a file")
    )
    replaying = commands.add_parser("replay", help="what page policies would have done with a recording")
    replaying.add_argument("recording", type=Path)
    replaying.add_argument(
        "--policy",
        action="append",
        default=[],
        help=f"one of the agent's ({', '.join(AGENT_POLICIES)}), idle-age:EPOCHS or adaptive; may be given "
        "several times (default: the agent's)",
    )
    replaying.add_argument("--target", type=float, default=0.01, help="refault budget (default: %(default)s)")
    replaying.set_defaults(call=_told(replay_command))
    drawing = commands.add_parser("heatmap", help="draw a recording: terminal, SVG or HTML")
    drawing.add_argument("recording", type=Path)
    drawing.add_argument("--svg", type=Path, help="write an SVG")
    drawing.add_argument("--html", type=Path, help="write a page that stands alone")
    drawing.add_argument("--columns", type=columns, default=100, help="width in a terminal (default: 100)")
    drawing.set_defaults(call=_told(heatmap_command))
    asking = commands.add_parser(
        "damon", parents=[shared], help="who holds DAMON, and what it could see here"
    )
    asking.set_defaults(call=_told(damon_command))
    taking = commands.add_parser("reclaim", parents=[shared], help="what would be reclaimed now, and why")
    taking.add_argument(
        "--dry-run", action="store_true", required=True, help="always: `run --mode act` reclaims"
    )
    taking.add_argument("--looks", type=positive, default=3, help="looks at the node (default: %(default)s)")
    taking.add_argument("--every", type=seconds, default=2.0, help="time between two looks (default: 2s)")
    taking.add_argument(
        "--ahead",
        type=seconds,
        default=600.0,
        help="say what would be taken by then (default: 10m)",
    )
    acting_flags(taking)
    taking.set_defaults(call=_told(reclaim_command), policies_from_operator=False)  # it attends none
    setting = commands.add_parser(
        "set-policy", help="change how cold memory is told, or who forecasts pressure, in a running agent"
    )
    setting.add_argument("name", choices=[*POLICY_NAMES, "by-policy", *PREDICTOR_NAMES])
    setting.add_argument("--socket", type=Path, default=DEFAULT_SOCKET, help="(default: %(default)s)")
    setting.set_defaults(call=_told(set_policy_command))
    _mempred(commands)


def _record_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write (.npz)")
    parser.add_argument(
        "--for", dest="for_seconds", type=seconds, default=120.0, help="how long (default: 2m)"
    )
    parser.add_argument("--every", type=seconds, default=2.0, help="time between two looks (default: 2s)")
    parser.add_argument(
        "--by",
        choices=("auto", "damon", "lru"),
        default="auto",
        help="addresses or idle ages (default: auto)",
    )
    parser.add_argument("--mode", choices=("read", "act"), default="read", help="act: DAMON may be set up")
    parser.add_argument("--state-dir", type=Path, default=DEFAULT_STATE, help="(default: %(default)s)")
    parser.set_defaults(call=_told(record_command))


def _mempred(commands: Commands) -> None:
    parser = commands.add_parser("mempred", help="page models: versions, loss; learn from recordings")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, call, text in (
        ("status", mempred_status, "versions on disk, checksums, loss; what a running agent uses"),
        ("report", mempred_report, "hazard of return by idle age, class by class"),
    ):
        each = verbs.add_parser(name, help=text)
        each.add_argument("--state-dir", type=Path, default=DEFAULT_STATE, help="(default: %(default)s)")
        each.add_argument("--socket", type=Path, default=DEFAULT_SOCKET, help="(default: %(default)s)")
        each.set_defaults(call=_told(call))
    training = verbs.add_parser("train", help="learn a model from recordings; writes the next version")
    training.add_argument("recordings", type=Path, nargs="+")
    training.add_argument("--class", dest="workload_class", default="", help="workload class it is of")
    training.add_argument("--state-dir", type=Path, default=DEFAULT_STATE, help="(default: %(default)s)")
    training.set_defaults(call=_told(mempred_train))


class FlagError(ValueError):
    """A flag that makes no sense; its text says which."""


def _told(call: Callable[[argparse.Namespace], str]) -> Callable[[argparse.Namespace], int]:
    """Print what a command says; what goes wrong is one sentence and an exit code."""

    def run(options: argparse.Namespace) -> int:
        try:
            text = call(options)
        except (OSError, RecordingError, FlagError) as error:
            return _failed(sentence(error), NO_FILE)
        except (ValueError, RecordError, KeyError) as error:
            return _failed(str(error.args[0] if isinstance(error, KeyError) else error), FAILED)
        print(text, end="")
        return 0

    return run


def _failed(text: str, code: int) -> int:
    print(f"plimsoll-agent: {text}", file=sys.stderr)
    return code


def sentence(error: Exception) -> str:
    """What went wrong, and with which file, without the number the system gives it."""
    if not isinstance(error, OSError):
        return str(error)
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why


def _may_be_written(path: Path | None, holds: Holds, *inputs: Path) -> None:
    """Raise FlagError before work whose result would have nowhere to go."""
    if path is not None and (why := refusal(path, holds, inputs)) is not None:
        raise FlagError(why)


def _put(text: bytes, file: IO[bytes]) -> None:
    file.write(text)


def _kept(path: Path, write: Callable[[], None]) -> None:
    """Write; a failure names the file that was asked for, not the one beside it."""
    try:
        write()
    except OSError as error:
        raise OSError(error.errno, f"cannot be written: {error.strerror}", str(path)) from error


def record_command(options: argparse.Namespace) -> str:
    """Record the one cgroup that is named."""
    if len(options.cgroup) != 1:
        raise FlagError("name the one cgroup to record: --cgroup PATH")
    _may_be_written(options.output, Holds.ARRAYS)
    if held(options.output) is Holds.ARRAYS and not is_recording(options.output):
        raise FlagError(f"{options.output}: holds other arrays, or what cannot be read; name another file")
    fs = KernelFs(options.root, Mode(options.mode))
    made = record(fs, options, sleep=time.sleep, now=time.time)
    _kept(options.output, lambda: save(made, options.output))
    said = f"{len(made.seconds)} looks by {made.axis.value} in {options.output}"
    return f"{said}; look at it with `plimsoll-agent heatmap {options.output}`\n"


def replay_command(options: argparse.Namespace) -> str:
    """Let page policies work on a recording."""
    recording = load(options.recording)
    names = options.policy or list(AGENT_POLICIES)
    lines = [f"{'policy':<16} {'reclaimed':>10} {'refaults':>10}"]
    for name in names:
        try:
            policy = policy_for_replay(name, recording, options.target)
        except ValueError as error:
            raise FlagError(str(error)) from None
        came = replayed(recording, policy)
        lines.append(f"{name:<16} {came.reclaimed_ratio:>10.1%} {came.refault_ratio:>10.2%}")
    return "\n".join(lines) + "\n"


def heatmap_command(options: argparse.Namespace) -> str:
    """Draw a recording."""
    recording = load(options.recording)
    if options.svg is None and options.html is None:
        return terminal(recording, colour=sys.stdout.isatty(), columns=options.columns)
    for path, holds in ((options.svg, Holds.PICTURE), (options.html, Holds.PAGE)):
        _may_be_written(path, holds, options.recording)
    for path, draw in ((options.svg, svg), (options.html, html)):
        if path is not None:
            text = draw(recording).encode()
            _kept(path, partial(write_whole, path, partial(_put, text)))
    return "".join(f"{each}\n" for each in (options.svg, options.html) if each is not None)


def damon_command(options: argparse.Namespace) -> str:
    """Say who holds DAMON."""
    return look_damon(KernelFs(options.root))


def reclaim_command(options: argparse.Namespace) -> str:
    """Look some times and say what would be reclaimed."""
    options.mode = Mode.DRY_RUN.value
    return dry_run_text(options, sleep=time.sleep, now=time.time)


def set_policy_command(options: argparse.Namespace) -> str:
    """Change the page policy of a running agent, or its pressure predictor."""
    said = ask(options.socket, {"do": "set-policy", "name": options.name})
    return f"{said['what']}: {said['now']} (was {said['before']})\n"


def mempred_status(options: argparse.Namespace) -> str:
    """Versions on disk and what a running agent uses."""
    lines = []
    for name, models, why in ModelStore(options.state_dir / "models").versions():
        if models is None:
            lines.append(f"{name}  REFUSED: {why}")
        else:
            loss = list(models.loss.values())
            mean = f"{sum(loss) / len(loss):.3f}" if loss else "-"
            lines.append(
                f"{name}  version {models.version}  {len(models.tables)} classes  loss {mean}"
                f"  reuse tables {len(models.reuse)}  bandit classes {len(models.records)}"
                f"  pressure scopes {len(models.pressure)}"
                f"  sha256 {models.checksum[:16]}"
            )
    lines = lines or [f"no models under {options.state_dir / 'models'}: the built-in prior is used"]
    try:
        said = ask(options.socket, {"do": "models"})
        lines.append(f"the running agent uses version {said['version']}, {len(said['classes'])} classes live")
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        lines.append(f"no agent answers at {options.socket}: {why}")
    return "\n".join(lines) + "\n"


def mempred_report(options: argparse.Namespace) -> str:
    """The hazard tables: of the running agent, or of the newest version on disk."""
    try:
        classes = {
            name: (each["hazard"], each["loss"])
            for name, each in ask(options.socket, {"do": "models"})["classes"].items()
        }
    except OSError:
        models = ModelStore(options.state_dir / "models").load()
        classes = {name: (table.tolist(), models.loss.get(name)) for name, table in models.tables.items()}
    head = "chance of return within a minute, by idle age\n" + f"{'class':<40} {'loss':>6} "
    lines = [head + " ".join(f"{seconds_text(edge):>7}" for edge in AGE_EDGES)]
    for name, (hazard, loss) in sorted(classes.items()):
        told = " ".join(f"{min(1.0, 60.0 * each):>7.1%}" for each in hazard)
        lines.append(f"{name[:40] or '(none)':<40} {'-' if loss is None else f'{loss:.3f}':>6} {told}")
    return "\n".join(lines) + "\n"


def mempred_train(options: argparse.Namespace) -> str:
    """Learn from recordings and write the next version, beside what the newest one knows."""
    model = SurvivalModel()
    for path in options.recordings:
        learnt(load(path), model)
    if not model.observations:
        raise ValueError("the recordings hold no two looks, or not what was reclaimed between them")
    store = ModelStore(options.state_dir / "models")
    before = store.load()
    known = {name: SurvivalModel(prior=table) for name, table in before.tables.items()}
    survival = {**known, options.workload_class: model}
    made = store.save(Learnt(survival, before.reuse, before.records, before.pressure), time.time())
    told = f"{model.observations} steps learnt, loss {model.loss:.3f}, sha256 {made.checksum[:16]}"
    return f"version {made.version}: {told}\n"
