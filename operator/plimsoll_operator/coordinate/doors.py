"""What stands before a stream, the cheapest first: a name, and how many of an address, of all, of a node.

In: a call after its handshake, rates. Out: nothing, or `RefusedError` with how long the caller shall wait.
The name in the certificate says whose it is, for an authority may sign for others too. Then streams a second,
of one address before those of all, so that a storm of one place keeps nobody else out; of a node only after
its token was reviewed, together with how much it may say.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, cast
from urllib.parse import unquote

import grpc

from plimsoll.coordinate.admission import Admission, AdmissionRate
from plimsoll_operator.coordinate.refused import RefusedError

ADDRESSES = AdmissionRate(per_second=5.0, burst=20.0)  # streams of an address, a node's or its agent's
NETWORKS = AdmissionRate(per_second=50.0, burst=100.0)  # of an IPv6 network: half of the door for all
STREAMS = AdmissionRate(per_second=0.5, burst=20.0)  # of a node, which needs one
MESSAGES = AdmissionRate(per_second=200.0, burst=1000.0)  # of a node; a full buffer of an agent is 376
LEASES = AdmissionRate(per_second=10.0, burst=100.0)  # of a node: a walk over its pods each
MOST_PACED = 20_000  # nodes whose pace is remembered

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class Pace:
    """How much a node may say, over all of its streams, and how many it may open."""

    messages: Admission
    leases: Admission
    streams: Admission

    async def heard(self, monotonic: Callable[[], float]) -> None:
        """Wait until the node may say one message more; what it says meanwhile waits with it."""
        wait = self.messages.wait_seconds(monotonic())
        while wait > 0.0:
            await asyncio.sleep(wait)
            wait = self.messages.wait_seconds(monotonic())


@dataclass(slots=True)
class Paces:
    """Of all nodes."""

    _paces: dict[str, Pace] = field(default_factory=dict)

    def of(
        self, kube_node: str, messages: AdmissionRate, leases: AdmissionRate, streams: AdmissionRate
    ) -> Pace:
        """Of one; with these rates where it is new."""
        pace = self._paces.get(kube_node)
        if pace is None:
            while len(self._paces) >= MOST_PACED:
                del self._paces[next(iter(self._paces))]
            pace = self._paces[kube_node] = Pace(*map(Admission, (messages, leases, streams)))
        return pace


def checked_name(context: Context, name: str) -> None:
    """Raises RefusedError where the certificate that the peer has shown is not for this DNS name."""
    shown = cast("Mapping[str, Iterable[bytes]]", context.auth_context() or {})
    names = {each.decode("ascii", errors="replace") for each in shown.get("peer_dns", ())}
    if name not in names:
        said = ", ".join(sorted(names)) or "nobody"
        why = f"the certificate is of {said}, not of {name}"
        raise RefusedError(grpc.StatusCode.PERMISSION_DENIED, why, "certificate")


def let_in(wait_seconds: float, why: str, kind: str) -> None:
    """Raises RefusedError, counted as `kind`, where a caller has to wait."""
    if wait_seconds > 0.0:
        said = f"{why}: come back in {wait_seconds:.2f} s"
        raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, said, kind, wait_seconds)


def places_of(peer: str) -> tuple[str, ...]:
    """Whose doors a connection comes to, of gRPC's `ipv4:10.0.0.7:4567`: its address, and of IPv6 its network
    of 64 bits too.

    Who has one address of such a network may have all of them; but all nodes of a cluster may stand in one.
    """
    kind, _, rest = unquote(peer).partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return (peer,)
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return (peer,)
    of_four = address if isinstance(address, IPv4Address) else address.ipv4_mapped
    if of_four is not None:
        return (str(of_four),)
    return (str(address), str(ip_network((address, 64), strict=False)))
