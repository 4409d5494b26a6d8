"""What could be seen and done here, without doing it: `reclaim --dry-run` and `damon`.

In: the door, flags. Out: text. The dry run is the agent's own loop, stage by stage, on a door that notes and
does not write: what it prints is what `run --mode act` would have asked of the kernel. The law begins with an
empty account, and a few looks show little of it: so it is asked on, for as long as is wanted, with readings
in which all stays as it is (`plimsoll.pages.control_ahead`).
"""

import argparse
from collections.abc import Callable, Mapping

from plimsoll.pages.control_ahead import ahead
from plimsoll_nodeagent.act.damon import ADMIN
from plimsoll_nodeagent.agent import Agent
from plimsoll_nodeagent.assemble import assemble
from plimsoll_nodeagent.capabilities import Engine
from plimsoll_nodeagent.control.cluster_policies import ClusterPolicies
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.control.reports import Report
from plimsoll_nodeagent.kernelfs import Absence, KernelFs
from plimsoll_nodeagent.sample.probe import DAMON_STAT, damon_fact
from plimsoll_nodeagent.show.scale import bytes_text, seconds_text

INTERVAL_SECONDS = 10.0  # `run`'s own


def dry_run_text(
    options: argparse.Namespace, sleep: Callable[[float], None], now: Callable[[], float]
) -> str:
    """Look some times and tell of each container what would be taken and why."""
    agent = assemble(options).agent
    try:
        return _looked(agent, options, sleep, now)
    finally:
        agent.close()


def _looked(
    agent: Agent, options: argparse.Namespace, sleep: Callable[[float], None], now: Callable[[], float]
) -> str:
    if isinstance(agent.policies, ClusterPolicies):  # read beside the loop; here nobody is kept waiting
        agent.policies.refresh(now())
        agent.policies.wait()
    taken: dict[str, int] = {}
    for number in range(options.looks):
        if number:
            sleep(options.every)
        agent.tick(now())
        for outcome in agent.reclaimer.latest:
            taken[outcome.subject] = taken.get(outcome.subject, 0) - (outcome.expected.usage_bytes or 0)
    report = agent.latest
    if agent.policies.problem:
        raise ValueError(f"policies: {agent.policies.problem}")
    if unread := agent.watch.unread():
        raise ValueError(f"the memory of {', '.join(unread)} cannot be read: nothing can be said of it")
    if report is None:
        raise ValueError(f"no cgroup with the memory controller under {options.cgroup_root}")
    lines = _lines(agent, report, taken, options.ahead)
    lines += [f"would write {each.text!r} to {each.what}" for each in agent.fs.notes]
    return "\n".join(lines) + "\n"


def _lines(agent: Agent, report: Report, taken: Mapping[str, int], seconds: float) -> list[str]:
    """Some lines for each container."""
    lines: list[str] = []
    controlled = {each.container.container_id: each for each in agent.reclaimer.controlled.values()}
    for each in report.containers:
        cold = "unknown" if each.cold_bytes is None else bytes_text(each.cold_bytes)
        needed = "unknown" if each.needed_bytes is None else bytes_text(each.needed_bytes)
        would = bytes_text(taken.get(each.container_id, 0))
        lines.append(f"{each.container_id[:40]}  would take {would}  cold {cold}  needed {needed}")
        lines.append(f"    {each.reason}: {each.sentence}")
        if each.container_id in controlled:
            lines.append(f"    {_ahead(controlled[each.container_id], seconds)}")
    return lines or ["no policy asks for reclaim of any container here"]


def _ahead(each: Controlled, seconds: float) -> str:
    """What the law would have taken by then."""
    minute = None if each.aged is None else each.aged.minute_bytes
    came = ahead(each.law, minute, seconds, INTERVAL_SECONDS)
    if came.decision is None:
        return "it could not be read well enough to say what would be taken later"
    said = f"in {seconds_text(seconds)} about {bytes_text(came.taken_bytes)}"
    said += ", if nothing of it is touched again and it stalls no more than now"
    return said if came.taken_bytes else f"{said} ({came.decision.sentence})"


def look_damon(fs: KernelFs) -> str:
    """Who holds DAMON, its kdamonds one by one, and whether we could have it."""
    fact = damon_fact(fs, Engine.ACCESSES)
    lines = ["DAMON is free for plimsoll-agent" if fact.available else f"DAMON cannot be had: {fact.why}"]
    stat = fs.read(DAMON_STAT)
    lines.append(f"DAMON_STAT: {'not in this kernel' if isinstance(stat, Absence) else stat.strip()}")
    slots = fs.directories(ADMIN)
    for slot in [] if isinstance(slots, Absence) else slots:
        words = [
            _read(fs, f"{ADMIN}/{slot.name}/{name}") for name in ("state", "pid", "contexts/0/operations")
        ]
        lines.append(f"kdamond {slot.name}: {words[0]}, thread {words[1]}, watches {words[2]}")
    return "\n".join(lines) + "\n"


def _read(fs: KernelFs, path: str) -> str:
    text = fs.read(path)
    return str(text) if isinstance(text, Absence) else text.strip()
