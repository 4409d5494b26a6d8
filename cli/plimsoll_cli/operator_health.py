"""Whether an operator acts: who holds the Lease, since when, and whether all acting is paused.

In: a cluster and the operator's namespace. Out: `Health`, as a sentence or as plain values. What may not be
read is said, not guessed.
"""

from dataclasses import asdict, dataclass
from datetime import datetime

from plimsoll_cli.ages import age
from plimsoll_cli.cluster import Body, Cluster, ForbiddenError, namespaced
from plimsoll_cli.pause import control_path, paused_in

LEASE_NAME = "plimsoll-operator"  # as plimsoll_operator.leader has it
DEGRADED = "plimsoll.dev/degraded"  # the same


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of the operator; None: it may not be read."""

    namespace: str
    holder: str | None = None
    renewed_seconds: float | None = None
    leads: bool | None = None  # the Lease has not run out
    paused: bool | None = None
    age: str | None = None
    degraded: str | None = None  # what the holder does without for now

    def document(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return one line for a person."""
        text = f"Operator in {self.namespace}: {self._lead()}"
        if self.leads and self.degraded:
            text = f"{text}; {self.degraded}"
        if self.paused is None:
            return f"{text}; whether it is paused may not be read"
        return f"{text}; all acting is PAUSED (plimsoll resume)" if self.paused else text

    def _lead(self) -> str:
        if self.leads is None:
            return "its Lease may not be read"
        if self.leads:
            return f"{self.holder} leads, Lease renewed {self.age} ago"
        if not self.holder:
            return "nobody leads, so nothing is acted on"
        return f"nobody leads: the Lease of {self.holder} ran out, renewed {self.age} ago"


def health(cluster: Cluster, namespace: str, now_seconds: float) -> Health:
    """Read Lease and control ConfigMap."""
    try:
        paused = paused_in(cluster.find(control_path(namespace)))
    except ForbiddenError:
        paused = None
    try:
        lease = cluster.find(namespaced("/apis/coordination.k8s.io/v1", "leases", namespace, LEASE_NAME))
    except ForbiddenError:
        return Health(namespace, paused=paused)
    return _health(namespace, lease, now_seconds, paused=paused)


def _health(namespace: str, lease: Body | None, now_seconds: float, *, paused: bool | None) -> Health:
    spec = (lease or {}).get("spec") or {}
    holder = str(spec.get("holderIdentity") or "")
    renewed = _seconds(spec.get("renewTime"))
    lasts = float(spec.get("leaseDurationSeconds") or 0)
    leads = bool(holder) and renewed is not None and now_seconds - renewed <= lasts
    said = str(((lease or {}).get("metadata") or {}).get("annotations", {}).get(DEGRADED) or "")
    name, _, degraded = said.partition(" ")
    own = degraded if name == holder else ""  # else a predecessor's
    return Health(namespace, holder or None, renewed, leads, paused, age(renewed, now_seconds), own or None)


def _seconds(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
