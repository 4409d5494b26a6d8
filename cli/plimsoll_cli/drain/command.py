"""`plimsoll drain-advice`: which pods should leave a kube node before it is short of memory.

In: a cluster's nodes, pods, MemoryProfiles and disruption budgets. Out: rows, one a pod that should go, the
most endangered node first; and, on standard error, nodes for which nothing can be done. It only reads:
evicting is a person's to do.
"""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from plimsoll_cli.cluster import ContextOption, KubeconfigOption, open_cluster
from plimsoll_cli.failure import OptionError
from plimsoll_cli.output import OutputFormat, OutputOption, print_rows

if TYPE_CHECKING:
    from plimsoll.placement.relief import Relief
    from plimsoll_cli.drain.live import Fleet

app = typer.Typer(help="Which pods should leave a kube node before it is short. Read-only.")

MOST_BOUND = 0.5


@app.command("drain-advice")
def drain_advice_command(
    bound: Annotated[float, typer.Option(help="Greatest chance of a node being short within a day.")] = 0.02,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Say which pods to move, where they would go, and what it changes. Nothing in the cluster is changed."""
    from plimsoll.placement.relief import relieve  # noqa: PLC0415  (keeps `plimsoll --help` fast)
    from plimsoll_cli.drain.live import fleet_on_nodes  # noqa: PLC0415

    if not 0.0 < bound <= MOST_BOUND:
        raise OptionError(f"--bound {bound:g}: must lie above 0 and not above {MOST_BOUND:g}")
    with open_cluster(kubeconfig, context) as cluster:
        fleet = fleet_on_nodes(cluster, time.time())
    found, left = relieve(fleet.loads, fleet.residents, bound, fleet.allowed)
    if found:
        print_rows([_row(fleet, each) for each in found], output)
    elif output is OutputFormat.TABLE:
        typer.echo(_calm(fleet, bound, endangered=bool(left)))
    else:
        print_rows([], output)
    for each in left:
        name = fleet.nodes.records[each.place].name
        typer.echo(f"kube node {name} stays short with chance {each.short:.2g}: {each.why}", err=True)
    if fleet.unseen:
        typer.echo(
            f"{fleet.unseen} of {len(fleet.names)} pods have no history: their requests count", err=True
        )


def _row(fleet: "Fleet", relief: "Relief") -> dict[str, object]:
    names = [each.name for each in fleet.nodes.records]
    return {
        "pod": fleet.names[relief.pod],
        "from": names[relief.from_place],
        "short": relief.short_before,
        "short without it": relief.short_after,
        "to": names[relief.to_place],
        "short there": relief.short_there,
    }


def _calm(fleet: "Fleet", bound: float, *, endangered: bool) -> str:
    if endangered:
        return "No pod can be moved that would help."
    return f"All {len(fleet.nodes)} kube nodes are short with chance {bound:g} at the most: nobody need move."
