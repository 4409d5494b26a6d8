"""How the operator is started: flags, environment, defaults, in one typed model.

In: `plimsoll-operator --flag value` and environment variables (`PLIMSOLL_` and the flag's name in
capitals). Out: a frozen `OperatorSettings`. Flags win over the environment. Nothing here says how much
memory anything gets: that is for policies.
"""

import argparse
import os
import re
import socket
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

PREFIX = "PLIMSOLL_"
_DURATION = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?$")
_FACTOR = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write for example 60s or 5m")
    return float(match[1]) * _FACTOR[match[2]]


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]


class OperatorSettings(BaseModel):
    """Every setting of the operator; the descriptions are the help text."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    namespace: str = "plimsoll-system"
    """Namespace of the operator: its Lease, its control ConfigMap. Never managed unless a policy names it."""
    identity: str = ""
    """Name in the Lease; default: the pod's name, else the host's."""
    interval: Seconds = 60.0
    """Time between two loops (the guard interval), e.g. 60s."""
    usage_source: Literal["metrics-api", "kubelet", "prometheus"] = "metrics-api"
    """Where samples of memory come from."""
    prometheus_url: str = ""
    """Prometheus for the backfill of history and OOM kills (and as a usage source)."""
    prometheus_token_file: str = ""
    """File with a bearer token for Prometheus."""
    prometheus_ca_file: str = ""
    """File with the authority that signed Prometheus' certificate; default: the machine's list."""
    kubeconfig_context: str = ""
    """Context of $KUBECONFIG; default: the current one."""
    node_proxy: bool = False
    """Read kubelets through the API server. Needs nodes/proxy, which allows exec in every pod."""
    kubelet_concurrency: int = Field(default=32, ge=1, le=1024)
    """Kubelets asked at the same time."""
    kubelet_port: int = Field(default=10250, ge=1, le=65535)
    """Port of the kubelets."""
    kubelet_ca_file: str = ""
    """CA of the kubelets' certificates; default: the cluster's."""
    kubelet_insecure: bool = False
    """Do not verify the kubelets' certificates."""
    metrics_address: str = "0.0.0.0"  # noqa: S104 -- in a pod, probes and scrapes come from outside
    """Address that /metrics, /healthz and /readyz listen on."""
    metrics_port: int = Field(default=8080, ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz; 0: none."""
    webhook_port: int = Field(default=0, ge=0, le=65535)
    """Port of the admission webhook; 0: no webhook, so mode Initial does nothing."""
    webhook_cert_dir: str = ""
    """Directory with tls.crt and tls.key of the webhook; reread when they change. Default: a private one
    with a self-signed pair, for as long as the process runs."""
    agents_port: int = Field(default=0, ge=0, le=65535)
    """Port of the streams of node agents; 0: none, then operator and agents work without each other."""
    agents_cert_dir: str = ""
    """Directory with tls.crt, tls.key and ca.crt for the agents' streams; reread when they change."""
    agents_namespace: str = ""
    """Namespace of the agents; default: the operator's. Never managed unless a policy names it, either."""
    agents_service_account: str = "plimsoll-agent"
    """Service account of the agents, in their namespace: whose tokens open a stream."""
    agents_host: str = ""
    """Address at which other replicas reach this one's port for agents: then one that does not lead carries
    agents' streams to the one that does. Default: none, and it refuses them."""
    agents_server_name: str = ""
    """Name in the certificate for agents, by which replicas know each other; default: the chart's Service."""
    agents_client_name: str = ""
    """DNS name in the certificate of the agents, without which none opens a stream; default: that of their
    service account."""
    agents_per_second: float = Field(default=100.0, gt=0)
    """Streams that may be opened a second; the others are told when to come back."""
    agents_per_second_of_address: float = Field(default=5.0, gt=0)
    """The same of one address. More only where agents reach the operator through one that they share."""
    lease_duration: Seconds = 15.0
    """A leader that has not renewed for so long is replaced."""
    lease_renew: Seconds = 5.0
    """Time between two renewals."""
    settle: Seconds = 3600.0
    """After a start nothing is lowered for so long, unless its last hour is known without a gap."""
    remembered_for: Seconds = 7 * 86_400.0
    """At admission, what a profile remembers may raise a new pod for so long; it never lowers one."""
    profile_interval: Seconds = 1800.0
    """Least time between two routine writes of one profile."""
    max_resizes_per_minute: int = Field(default=600, ge=1)
    """Rate of routine resizes over the whole cluster."""
    placement_gates: bool = False
    """Hold a new pod for some seconds where room must be made for it first. Needs a sweeper (the chart's
    placement.gates.enabled), else no pod is held."""
    relief_evictions_per_hour: int = Field(default=30, ge=0)
    """Most evictions in an hour, over the cluster, that relieve kube nodes (placement.relief: Evict)."""
    deferred_evict_after: Seconds = 300.0
    """Mode InPlaceOrRecreate: a resize deferred for so long becomes an eviction."""
    resize_give_up_after: Seconds = 600.0
    """A resize that the kubelet refuses for so long is taken back."""
    forecast_workers: int = Field(default=1, ge=0, le=64)
    """Low-priority processes that fit Prophet for containers whose policy names it (needs the extra
    `forecast`); 0: none, auto stands in."""
    forecast_redis: str = ""
    """Redis whose `plimsoll-worker` processes fit Prophet instead of this one's; see docs/memory.md."""
    own_weights_file: str = ""
    """File of the forecast's weights as this cluster's own hours teach them: refitted once a day by a
    forecast worker, used only while surely better on workloads held out; default: none."""
    memory_file: str = ""
    """File of the fleet's memory, which outlives profiles (needs the extra `redis`); default: none."""
    memory_redis: str = ""
    """Redis that shares the memory: redis://, redis+sentinel:// or redis+cluster://; see docs/memory.md."""
    models_least_nodes: int = Field(default=3, ge=1, le=63)
    """Kube nodes that must have said what they learned of an image before it is a shared model; never more
    than the cluster has. Below three nobody is outvoted."""
    wake_on_oom: bool = True
    """Start a loop at once when an OOM kill is seen, instead of at the next interval."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""

    @field_validator("lease_renew")
    @classmethod
    def _renewed_in_time(cls, renew: float, info: ValidationInfo) -> float:
        duration = info.data.get("lease_duration", renew + 1)
        if renew >= duration:
            raise ValueError(f"{renew:g} s is not below --lease-duration, {duration:g} s: nobody would lead")
        return renew

    @property
    def agents_address(self) -> str:
        """Where other replicas reach this one for agents' streams; "" where they do not."""
        host = f"[{self.agents_host}]" if ":" in self.agents_host else self.agents_host
        return f"{host}:{self.agents_port}" if host and self.agents_port else ""

    @property
    def own_namespaces(self) -> frozenset[str]:
        """Plimsoll's own: no cluster-wide policy reaches into them."""
        return frozenset({self.namespace, self.agents_namespace or self.namespace})

    def own_identity(self, environment: Mapping[str, str] = os.environ) -> str:
        """The name in the Lease. A restarted pod keeps its name, so it takes its own Lease back at once."""
        return self.identity or environment.get("POD_NAME", "") or socket.gethostname()


def settings_from(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Read flags and environment; prints help or a sentence and exits where they make no sense."""
    parser = _parser()
    given = {key: value for key, value in vars(parser.parse_args(arguments)).items() if value is not None}
    try:
        return OperatorSettings(**(_from_environment(environment) | given))
    except ValidationError as error:
        problems = (f"--{_flag(str(each['loc'][0]))}: {each['msg']}" for each in error.errors())
        parser.error("; ".join(problems))


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    names = {PREFIX + name.upper(): name for name in OperatorSettings.model_fields}
    return {names[key]: value for key, value in environment.items() if key in names and value}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plimsoll-operator",
        description="Forecasts containers' memory and moves their limits in place.",
        epilog="Every flag can be set in the environment: --usage-source is PLIMSOLL_USAGE_SOURCE. "
        "The API server is found through KUBECONFIG or the pod's service account.",
        allow_abbrev=False,
    )
    for name, field in OperatorSettings.model_fields.items():
        text = f"{field.description} (default: {field.default})".replace("%", "%%")
        if field.annotation is bool:
            action = argparse.BooleanOptionalAction
            parser.add_argument(f"--{_flag(name)}", action=action, default=None, help=text)
        else:
            parser.add_argument(f"--{_flag(name)}", default=None, metavar="VALUE", help=text)
    return parser


def _flag(name: str) -> str:
    return name.replace("_", "-")
