"""`plimsoll status [WORKLOAD]`: what Plimsoll does in this cluster now.

In: MemoryProfiles, the operator's Lease, the control ConfigMap. Out: whether an operator acts, and one row a
container: mode, policy, usage, limit, target, the last decision with its reason and age, what is wrong.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from plimsoll.api.fields import Condition
from plimsoll.api.profile import ContainerProfile
from plimsoll_cli.ages import age
from plimsoll_cli.amounts import quoted, short
from plimsoll_cli.cluster import (
    OPERATOR_NAMESPACE,
    AllNamespacesOption,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    OperatorNamespaceOption,
    one_namespace,
    open_cluster,
)
from plimsoll_cli.operator_health import Health, health
from plimsoll_cli.output import OutputFormat, OutputOption, print_document, print_rows
from plimsoll_cli.workloads import Profile, chosen, profiles_in, reference

app = typer.Typer(help="What Plimsoll does in this cluster now.")

Row = dict[str, object]


@app.command("status")
def status_command(
    workload: Annotated[
        str | None, typer.Argument(help="namespace/kind/name, kind/name or name.", show_default="all")
    ] = None,
    namespace: NamespaceOption = None,
    all_namespaces: AllNamespacesOption = False,
    operator_namespace: OperatorNamespaceOption = OPERATOR_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show the operator's health and every workload's MemoryProfile, or one workload's in detail."""
    within = one_namespace(namespace, all_namespaces)
    now_seconds = time.time()
    with open_cluster(kubeconfig, context) as cluster:
        asked = reference(workload, within) if workload is not None else None
        profiles = profiles_in(cluster, asked.namespace if asked is not None else within)
        shown = chosen(profiles, asked) if asked is not None else profiles
        found = health(cluster, operator_namespace, now_seconds)
    _show(shown, found, now_seconds, output, in_detail=workload is not None)


def _show(
    profiles: Sequence[Profile], found: Health, now_seconds: float, output: OutputFormat, *, in_detail: bool
) -> None:
    rows = [_row(profile, each) for profile in profiles for each in profile.status.containers]
    if output is OutputFormat.CSV:
        print_rows(rows, output)
    elif output is not OutputFormat.TABLE:
        print_document({"operator": found.document(), "containers": rows}, output)
    else:
        typer.echo(found.sentence())
        for line in _lines(profiles, in_detail=in_detail):
            typer.echo(quoted(line))
        if rows:
            print_rows(_table(profiles, now_seconds), output)
        else:
            typer.echo("No MemoryProfile says anything yet: no policy speaks for a workload that runs.")


def _lines(profiles: Sequence[Profile], *, in_detail: bool) -> Iterable[str]:
    """Conditions that keep a workload back; of one workload all, classes, and the last decisions."""
    for profile in profiles:
        for condition in profile.status.conditions:
            if in_detail or _worth_saying(condition):
                yield f"{profile}: {_said(condition)}"
        if profile.restore:
            yield f"{profile}: restore is asked for; `plimsoll restore {profile.ref} --undo` ends it"
        for each in profile.status.containers if in_detail else ():
            if each.workload_class:
                yield f"{profile} {each.name}: its usage is {each.workload_class}"
            if each.last_decision is not None and each.last_decision.message:
                yield f"{profile} {each.name}: {each.last_decision.message}"


def _worth_saying(condition: Condition) -> bool:
    """True where a person should know of it; `Ready` and `Restored` are well when they are true."""
    return condition.status != ("True" if condition.type in ("Ready", "Restored") else "False")


def _said(condition: Condition) -> str:
    words = f"{condition.type} is {condition.status}"
    reason = f" ({condition.reason})" if condition.reason else ""
    return words + reason + (f": {condition.message}" if condition.message else "")


def _row(profile: Profile, container: ContainerProfile) -> Row:
    """One container for a program."""
    usage, wanted, last = container.usage, container.recommendation, container.last_decision
    mode = container.mode or profile.status.mode
    true = [each.type for each in profile.status.conditions if each.status == "True"]
    ready = next((each.status for each in profile.status.conditions if each.type == "Ready"), None)
    return {
        "namespace": profile.ref.namespace,
        "kind": profile.ref.kind,
        "name": profile.ref.name,
        "node_class": profile.node_class or None,
        "container": container.name,
        "mode": mode.value if mode is not None else None,
        "policy": profile.status.policy,
        "pods": profile.status.pods,
        "usage_bytes": usage.current_bytes if usage is not None else None,
        "limit_bytes": limit_of(container),
        "target_bytes": wanted.target_bytes if wanted is not None else None,
        "class": container.workload_class or None,
        "leak_ends_seconds": container.leak.death_time_seconds if container.leak is not None else None,
        "decision": last.kind if last is not None else None,
        "reason": last.reason if last is not None else None,
        "message": last.message if last is not None else None,
        "decided_seconds": last.time_seconds if last is not None else None,
        "oom_kills": container.oom.count if container.oom is not None else 0,
        "restore": profile.restore,
        "ready": ready,
        "conditions": " ".join(true),
    }


def limit_of(container: ContainerProfile) -> int | None:
    """The limit in force by the last decision: what it set, or what it kept."""
    last = container.last_decision
    if last is None:
        return None
    return last.to_bytes if last.to_bytes is not None else last.from_bytes


def _table(profiles: Sequence[Profile], now_seconds: float) -> list[Row]:
    """The rows that a person reads."""
    made = []
    for profile in profiles:
        for container in profile.status.containers:
            row, last = _row(profile, container), container.last_decision
            made.append(
                {
                    "workload": str(profile),
                    "container": container.name,
                    "mode": row["mode"],
                    "policy": profile.status.policy,
                    **{name: _amount(row[f"{name}_bytes"]) for name in ("usage", "limit", "target")},
                    "decision": row["decision"],
                    "reason": row["reason"],
                    "age": age(last.time_seconds, now_seconds) if last is not None else None,
                }
            )
    return made


def _amount(value: object) -> str | None:
    return short(value) if isinstance(value, int) else None
