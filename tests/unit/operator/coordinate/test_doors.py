"""Who is sent away before anything is looked at: by certificate, by address, by rate."""

from collections import Counter

import grpc
import pytest

from builders.attending import AGENTS
from builders.authority import AGENT_HOST, OPERATOR_HOST
from plimsoll.coordinate.admission import Admission, AdmissionRate, EachAdmission
from plimsoll.coordinate.attendance import Attendance
from plimsoll_operator.coordinate.doors import places_of
from plimsoll_operator.coordinate.server import Coordination
from plimsoll_proto import service


class AbortedError(Exception):
    """How gRPC ends a call."""


class Call:
    """A call as a server sees it, after the handshake."""

    def __init__(self, address: str, names: tuple[str, ...] = (AGENT_HOST,), metadata: tuple = ()) -> None:
        self.address, self.names, self.metadata = address, names, metadata
        self.code, self.trailing = None, {}

    def peer(self) -> str:
        return f"ipv{6 if ':' in self.address else 4}:{self.address}:40000"

    def auth_context(self) -> dict:
        return {"peer_dns": [name.encode() for name in self.names]}

    def invocation_metadata(self) -> tuple:
        return self.metadata

    async def abort(self, code, why, trailing=()):
        self.code, self.why, self.trailing = code, why, dict(trailing)
        raise AbortedError


@pytest.fixture
def door():
    return Coordination(
        attendance=Attendance(1), tokens=None, username=AGENTS, agents_name=AGENT_HOST,
        operators_name=OPERATOR_HOST, hearer=None, kube_node_of_pod=lambda _: None, leads=lambda: True,
        now=lambda: 0.0, monotonic=lambda: 0.0, admission=Admission(AdmissionRate(100.0, 50.0)),
        addresses=EachAdmission(AdmissionRate(1.0, 10.0)), networks=EachAdmission(AdmissionRate(5.0, 25.0)),
    )  # fmt: skip


async def come(door: Coordination, call: Call) -> grpc.StatusCode:
    with pytest.raises(AbortedError):
        await door.attend(None, call)
    return call.code


async def test_who_has_only_the_certificate_keeps_no_other_address_out(door, counted):
    """A thousand streams of one address take a tenth of what all together may; the others come in."""
    stormed = Counter([await come(door, Call("10.0.0.66")) for _ in range(1000)])
    assert stormed == {grpc.StatusCode.UNAUTHENTICATED: 10, grpc.StatusCode.RESOURCE_EXHAUSTED: 990}
    others = [await come(door, Call(f"10.0.1.{number}")) for number in range(40)]
    let_in = sum(code is grpc.StatusCode.UNAUTHENTICATED for code in others)  # as far as the token
    assert let_in == 40
    assert door.counts.refusals_total["address"] == 990
    assert door.counts.refusals_total["rate"] == 0
    counted(
        "a storm of one address, by who has the certificate alone", injected=1000,
        survived=stormed[grpc.StatusCode.RESOURCE_EXHAUSTED] + stormed[grpc.StatusCode.UNAUTHENTICATED],
        lost=len(others) - let_in, of=len(others), what="other agents' streams",
    )  # fmt: skip


@pytest.mark.parametrize(("what", "per_second", "at_once"), [("messages", 200, 1000), ("leases", 10, 100)])
def test_a_node_that_never_stops_has_so_much_a_second_and_another_none_the_less(
    door, what, per_second, at_once
):
    """As it is shipped: whoever tries a thousand times a second for a minute."""
    own, others = (getattr(door._pace(name), what) for name in ("node-a", "node-b"))
    let_in = sum(own.wait_seconds(attempt / 1000.0) == 0.0 for attempt in range(60_000))
    assert let_in == pytest.approx(at_once + 60 * per_second, rel=0.01)
    assert others.wait_seconds(60.0) == 0.0


async def test_who_is_sent_away_is_told_for_how_long(door):
    for _ in range(10):
        await come(door, Call("10.0.0.66"))
    call = Call("10.0.0.66")
    await come(door, call)
    assert float(call.trailing[service.RETRY_AFTER]) >= 1000.0


async def test_a_replica_carries_more_streams_than_an_address_has(door):
    relayed = ((service.RELAYED, "1"),)
    calls = [await come(door, Call("10.0.0.3", (OPERATOR_HOST,), relayed)) for _ in range(40)]
    assert set(calls) == {grpc.StatusCode.UNAUTHENTICATED}


async def test_a_name_that_is_not_asked_for_takes_nothing_of_anybody(door):
    for _ in range(100):
        assert await come(door, Call("10.0.0.66", ("other",))) is grpc.StatusCode.PERMISSION_DENIED
    assert door.admission.admitted_total == 0
    assert await come(door, Call("10.0.0.66")) is grpc.StatusCode.UNAUTHENTICATED


def test_who_is_sent_away_comes_back_at_the_rate_of_the_door_by_whatever_way_it_came(door):
    told, relayed = {}, []
    door.offer = told.__setitem__
    door._streams = dict.fromkeys(f"n{number}" for number in range(60))
    door.relay = type("Ending", (), {"__len__": lambda _: 5, "end": lambda _, waits: relayed.extend(waits)})()
    door.drain("an upgrade", 1.0)
    assert {each.reason for each in told.values()} == {"an upgrade"}
    waits = [each.reconnect_after_seconds for each in told.values()] + relayed
    assert waits == pytest.approx([1.0] * 51 + [1.0 + 0.01 * late for late in range(1, 15)])


@pytest.mark.parametrize(
    ("peer", "places"),
    [
        ("ipv4:10.0.0.7:4567", ("10.0.0.7",)),
        ("ipv6:%5B2001:db8::7%5D:4567", ("2001:db8::7", "2001:db8::/64")),
        ("ipv6:[2001:db8::ffff:1]:1", ("2001:db8::ffff:1", "2001:db8::/64")),
        ("ipv6:%5B::ffff:10.0.0.7%5D:1", ("10.0.0.7",)),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", ("fe80::1", "fe80::/64")),
        ("unix:/run/agents", ("unix:/run/agents",)),
        ("ipv4:nonsense", ("ipv4:nonsense",)),
        ("", ("",)),
    ],
)
def test_the_places_of_a_connection(peer, places):
    assert places_of(peer) == places


async def test_agents_of_one_ipv6_network_have_a_door_each_and_the_network_half_of_that_for_all(door):
    """A cluster's nodes may all stand in one network; who has all of its addresses keeps no other out."""
    stormed = Counter([await come(door, Call("[2001:db8::66]")) for _ in range(30)])
    assert stormed == {grpc.StatusCode.UNAUTHENTICATED: 10, grpc.StatusCode.RESOURCE_EXHAUSTED: 20}
    assert await come(door, Call("[2001:db8::67]")) is grpc.StatusCode.UNAUTHENTICATED
    many = Counter([await come(door, Call(f"[2001:db8::1:{number:x}]")) for number in range(200)])
    assert many == {grpc.StatusCode.UNAUTHENTICATED: 14, grpc.StatusCode.RESOURCE_EXHAUSTED: 186}
    assert await come(door, Call("[2001:db8:0:1::1]")) is grpc.StatusCode.UNAUTHENTICATED
    assert door.counts.refusals_total == {"address": 206, "token": 26}
