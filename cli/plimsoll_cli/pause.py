"""`plimsoll pause` and `plimsoll resume`: stop and start all acting, within one loop of the operator.

In: a cluster. Out: the ConfigMap `plimsoll-control` in the operator's namespace says `paused: "true"` or
`"false"`. While paused the operator watches, forecasts and writes profiles, and touches no pod.
"""

from pathlib import Path

import typer

from plimsoll_cli.cluster import (
    OPERATOR_NAMESPACE,
    Body,
    Cluster,
    ContextOption,
    KubeconfigOption,
    MissingError,
    OperatorNamespaceOption,
    namespaced,
    open_cluster,
)
from plimsoll_cli.failure import ClusterError

app = typer.Typer(help="Stop all acting within one loop.")
resume_app = typer.Typer(help="Act again.")

# As the operator's index reads it (plimsoll_operator.handlers).
CONTROL_CONFIG_MAP = "plimsoll-control"


@app.command("pause")
def pause_command(
    operator_namespace: OperatorNamespaceOption = OPERATOR_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Stop all acting: limits stay as they are, history and profiles go on."""
    before = _set_paused(kubeconfig, context, operator_namespace, paused=True)
    done = "was paused already" if before else "paused: within one loop no pod is touched any more"
    typer.echo(f"Plimsoll in {operator_namespace} {done}. `plimsoll resume` starts it again.")


@resume_app.command("resume")
def resume_command(
    operator_namespace: OperatorNamespaceOption = OPERATOR_NAMESPACE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Act again."""
    before = _set_paused(kubeconfig, context, operator_namespace, paused=False)
    done = "resumed: it acts again from its next loop on." if before else "was not paused."
    typer.echo(f"Plimsoll in {operator_namespace} {done}")


def paused_in(control: Body | None) -> bool:
    """Return whether the control ConfigMap (None: there is none) stops all acting."""
    data = (control or {}).get("data") or {}
    return str(data.get("paused", "")).strip().lower() == "true"


def control_path(namespace: str) -> str:
    """Return the path of the control ConfigMap."""
    return namespaced("/api/v1", "configmaps", namespace, CONTROL_CONFIG_MAP)


def _set_paused(kubeconfig: Path | None, context: str | None, namespace: str, *, paused: bool) -> bool:
    """Write the switch; return what it said before."""
    with open_cluster(kubeconfig, context) as cluster:
        control = cluster.find(control_path(namespace))
        before = paused_in(control)
        if control is None:
            _create(cluster, namespace, paused=paused)
        elif before is not paused:
            cluster.merge(control_path(namespace), {"data": _data(paused=paused)})
    return before


def _create(cluster: Cluster, namespace: str, *, paused: bool) -> None:
    metadata = {"name": CONTROL_CONFIG_MAP, "namespace": namespace}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": _data(paused=paused),
    }
    try:
        cluster.create(namespaced("/api/v1", "configmaps", namespace), body)
    except MissingError as error:
        text = f"namespace {namespace} does not exist; name the operator's with --operator-namespace"
        raise ClusterError(text) from error


def _data(*, paused: bool) -> dict[str, str]:
    return {"paused": "true" if paused else "false"}
