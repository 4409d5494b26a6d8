"""`plimsoll restore WORKLOAD [--undo]`: ask for a workload's original resources back.

In: a workload. Out: its MemoryProfiles say `spec.restore`; the operator then puts back what it recorded
before it first touched anything, guarded like every change, and holds until `--undo`.
"""

from typing import Annotated

import typer

from plimsoll.api.profile import ContainerProfile
from plimsoll.api.quantity import format_quantity
from plimsoll_cli.cluster import ContextOption, KubeconfigOption, NamespaceOption, open_cluster
from plimsoll_cli.failure import CommandError
from plimsoll_cli.workloads import Profile, profiles_of, reference

app = typer.Typer(help="Put a workload's original resources back.")

WorkloadArgument = Annotated[
    str, typer.Argument(help="namespace/kind/name, kind/name or name.", show_default=False)
]


@app.command("restore")
def restore_command(
    workload: WorkloadArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let Plimsoll act on it again.")] = False,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Put the original memory resources back and hold them, or end that with --undo."""
    with open_cluster(kubeconfig, context) as cluster:
        profiles = profiles_of(cluster, reference(workload, namespace))
        if not undo:
            _check(profiles)
        for profile in profiles:
            if profile.restore is undo:
                cluster.merge(profile.path, {"spec": {"restore": not undo}})
            typer.echo(_sentence(profile, undo=undo))


def _check(profiles: list[Profile]) -> None:
    """Refuse where nothing was recorded: the operator would have nothing to put back."""
    for profile in profiles:
        if not any(each.original_resources for each in profile.status.containers):
            text = f"{profile}: no original resources are on record yet, so Plimsoll has not touched it"
            raise CommandError(text)


def _sentence(profile: Profile, *, undo: bool) -> str:
    if undo:
        if profile.restore:
            return f"{profile}: Plimsoll acts on it again from its next loop on."
        return f"{profile}: was not being restored."
    known = "; ".join(_original(each) for each in profile.status.containers if each.original_resources)
    done = "goes back within one loop, guarded, and then holds"
    done = "is being restored already" if profile.restore else done
    return f"{profile} {done}: {known}. `plimsoll restore {profile.ref} --undo` ends it."


def _original(container: ContainerProfile) -> str:
    before = container.original_resources
    if before is None:
        return f"{container.name} unknown"
    return f"{container.name} request {_exact(before.request_bytes)}, limit {_exact(before.limit_bytes)}"


def _exact(value_bytes: int | None) -> str:
    """As the template may have said it; nothing is rounded, for it is put back to the byte."""
    return "unset" if value_bytes is None else format_quantity(value_bytes)
