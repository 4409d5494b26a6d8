"""Agent and operator over real gRPC with real certificates on loopback: both shells' own code."""

import asyncio
import resource
from pathlib import Path

import grpc
import numpy as np
import pytest

from builders.attending import AGENTS, Attended, attending, until
from builders.authority import AGENT_HOST, OPERATOR_HOST, Authority
from builders.desks import Desks
from builders.loops import rig
from plimsoll.coordinate.admission import Admission, AdmissionRate, EachAdmission
from plimsoll.coordinate.attendance import Presence
from plimsoll.coordinate.columns import MOST_ROWS
from plimsoll.coordinate.mailbox import Bounds
from plimsoll.coordinate.messages import (
    SAMPLE_COLUMNS,
    Drain,
    LeaseAnswer,
    LeaseRequest,
    ModelDelta,
    Roster,
    RosterEntry,
    SampleBatch,
    ShrinkCancel,
)
from plimsoll.coordinate.session import AgentSession
from plimsoll.coordinate.versions import ProtocolVersion
from plimsoll_proto import service, wire

LEASE = LeaseRequest(9, 0, 1 << 20, 1 << 30, 1 << 20, 3.0, 0.0)


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def operator(tmp_path, authority):
    return Attended(tmp_path, authority)


def samples(usage: float) -> SampleBatch:
    columns = {name: np.array([usage]) for name in SAMPLE_COLUMNS}
    return SampleBatch(1000.0, np.array([0], dtype=np.int64), columns)


def delta(number: int) -> ModelDelta:
    return ModelDelta(f"delta-{number}", "survival", "web", 1, "", number, b"")


def checksums(operator: Attended) -> list[str]:
    return [each.checksum for _, each in operator.heard.bodies if isinstance(each, ModelDelta)]


async def test_both_sides_hear_what_the_other_says(operator):
    async with operator.serving():
        link, heard = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
            assert link.offer(LEASE)
            link.offer(samples(4096.0), level=True)
            await until(lambda: len(operator.heard.bodies) == 2)
            assert operator.heard.bodies[0] == ("node-a", LEASE)
            assert operator.heard.bodies[1][1].columns["usage_bytes"][0] == 4096.0
            assert operator.service.offer("node-a", LeaseAnswer(9, 1 << 31, 300.0))
            await until(lambda: heard)
            assert heard == [LeaseAnswer(9, 1 << 31, 300.0)]
        await until(lambda: operator.service.attendance.presence("node-a", 0.0) is Presence.AWAY)


async def test_nothing_is_lost_or_heard_twice_though_the_stream_breaks_again_and_again(operator):
    session = AgentSession(7, Bounds(most_kept=2000))
    for turn in range(4):
        async with operator.serving():
            link, _ = operator.agent(session=session)
            async with attending(link):
                await until(lambda link=link: link.state.attending)
                for number in range(100):
                    assert link.offer(delta(turn * 100 + number))
                # Broken in the middle: some are heard, few are acknowledged.
                await until(lambda turn=turn: len(set(checksums(operator))) >= turn * 100 + 30)
        operator.epoch_id += 1  # another operator each time
    async with operator.serving():
        link, _ = operator.agent(session=session)
        async with attending(link):
            await until(lambda: len(set(checksums(operator))) == 400)
            await until(lambda: len(session.outbox) == 0)
    heard = [int(each.removeprefix("delta-")) for each in checksums(operator)]
    assert sorted(set(heard)) == list(range(400))


async def test_one_operator_hears_nothing_twice_over_a_broken_stream(operator):
    session = AgentSession(7, Bounds(most_kept=2000))
    async with operator.serving():
        for turn in range(3):
            link, _ = operator.agent(session=session)
            async with attending(link):
                await until(lambda link=link: link.state.attending)
                for number in range(50):
                    link.offer(delta(turn * 50 + number))
                await until(lambda turn=turn: len(checksums(operator)) >= turn * 50 + 10)
        link, _ = operator.agent(session=session)
        async with attending(link):
            await until(lambda: len(checksums(operator)) >= 150)
    assert checksums(operator) == [f"delta-{number}" for number in range(150)]


async def test_an_agent_that_speaks_for_another_node_is_refused(operator, counted):
    operator.reviews.kube_nodes["stolen"] = "node-b"
    async with operator.serving():
        link, _ = operator.agent("node-a", token="stolen")
        async with attending(link):
            await until(lambda: link.state.failures_total["permission_denied"] >= 1)
    assert "a token bound to kube node node-b does not speak for node-a" in link.state.why
    assert operator.heard.greeted_nodes == []
    tries, heard = operator.service.counts.refusals_total["node"], len(operator.heard.greeted_nodes)
    counted(
        "an agent that speaks for another node", injected=tries + heard, survived=tries, lost=heard,
        of=tries + heard, what="streams",
    )  # fmt: skip


async def test_an_agent_that_names_another_nodes_pod_is_refused_in_greeting_and_after(operator):
    async with operator.serving():
        liar, _ = operator.agent(roster=Roster((RosterEntry(0, "pod-b", "c0"),)))
        async with attending(liar):
            await until(lambda: liar.state.failures_total["permission_denied"] >= 1)
        assert "pod pod-b does not run on kube node node-a" in liar.state.why
        later, _ = operator.agent()
        async with attending(later):
            await until(lambda: later.state.attending)
            later.offer(Roster((RosterEntry(1, "pod-b", "c1"),)))
            await until(lambda: later.state.failures_total["permission_denied"] >= 1)
    assert not any(isinstance(body, Roster) for _, body in operator.heard.bodies)


@pytest.mark.parametrize("how", ["unknown token", "another account", "foreign certificate", "expired"])
async def test_who_is_not_an_agent_of_ours_is_refused(operator, how):
    foreign = Authority("somebody else") if how == "foreign certificate" else None
    async with operator.serving():
        link, _ = operator.agent(authority=foreign, expired=how == "expired")
        if how == "unknown token":
            operator.reviews.kube_nodes.clear()
        elif how == "another account":
            operator.reviews.usernames["token-node-a"] = "system:serviceaccount:default:default"
        kind = "unavailable" if how in ("foreign certificate", "expired") else "unauthenticated"
        async with attending(link):
            # A connection that a busy machine makes too slowly fails before that, and is tried again.
            await until(lambda: link.state.failures_total[kind] >= 2)
    assert operator.heard.greeted_nodes == []
    assert AGENTS not in link.state.why


async def test_a_token_without_a_certificate_opens_nothing(operator):
    """It is not even shown: the handshake wants a certificate of the agents' authority."""
    async with operator.serving():
        link, _ = operator.agent()
        identity, options = link._identity, (("grpc.ssl_target_name_override", OPERATOR_HOST),)
        bare = grpc.ssl_channel_credentials((identity.directory / "ca.crt").read_bytes())
        codes = {}
        for name, credentials in (("bare", bare), ("whole", identity.credentials())):
            address = f"127.0.0.1:{operator.port}"
            async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
                call = channel.stream_stream(service.PATH)(metadata=identity.metadata())
                if name == "whole":
                    await call.write(b"no hello")
                codes[name] = await call.code()
                if name == "bare":
                    assert operator.reviews.asked == 0
    assert codes["bare"] is grpc.StatusCode.UNAVAILABLE
    assert codes["whole"] is grpc.StatusCode.FAILED_PRECONDITION, "the same token, as far as its hello"
    assert operator.heard.greeted_nodes == []


@pytest.mark.parametrize("host", ["somebody.else.svc", OPERATOR_HOST])
async def test_a_certificate_of_the_same_authority_for_another_name_opens_nothing(operator, host):
    """An authority that signs for others too: their pairs pass the handshake, with our token or without."""
    async with operator.serving():
        link, _ = operator.agent(hosts=(host,))
        async with attending(link):
            await until(lambda: link.state.failures_total["permission_denied"] >= 1)
        assert f"the certificate is of {host}, not of {AGENT_HOST}" in link.state.why
        assert operator.reviews.asked == 0
        assert operator.heard.greeted_nodes == []
        both, _ = operator.agent(hosts=(host, AGENT_HOST))
        async with attending(both):
            await until(lambda: both.state.attending)


async def test_a_certificate_is_rotated_under_a_running_server(operator, authority):
    async with operator.serving():
        first, _ = operator.agent("node-a")
        async with attending(first):
            await until(lambda: first.state.attending)
            newer = Authority("next")
            newer.write(operator.directory / "server", "operator")
            second, _ = operator.agent("node-b", authority=newer)
            async with attending(second):
                await until(lambda: second.state.attending)
            assert first.state.attending  # a stream outlives the pair it was opened with
        old, _ = operator.agent("node-a", authority=authority)
        async with attending(old):
            await until(lambda: old.state.failures_total["unavailable"] >= 1)


def open_files() -> int:
    """Of this process: tests before may have left some."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_server_may_have_as_many_connections_as_its_hard_limit_allows(operator):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = open_files() + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        async with operator.serving():
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > few
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_half_written_pair_leaves_the_old_one_in_use(operator):
    async with operator.serving():
        (operator.directory / "server" / "tls.crt").write_text("half a certif")
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)


async def test_a_storm_is_refused_before_any_review_and_told_when_to_come_back(operator):
    operator.admission = Admission(AdmissionRate(per_second=0.001, burst=3.0))
    async with operator.serving():
        links = [operator.agent(token=f"token {number}")[0] for number in range(8)]
        async with attending(*links):
            await until(lambda: operator.service.counts.refusals_total["rate"] >= 5)
            assert operator.reviews.asked <= 3
            assert operator.admission.admitted_total == 3
            await until(lambda: sum("come back in 50.00 s" in each.state.why for each in links) >= 5)


async def test_a_node_that_opens_streams_without_end_is_told_to_wait(operator):
    """After its token was reviewed: a stolen identity wears out its own node's door, and nobody else's."""
    async with operator.serving():
        operator.service.streams = AdmissionRate(per_second=0.001, burst=3.0)
        for _ in range(3):
            link, _ = operator.agent()
            async with attending(link):
                await until(lambda link=link: link.state.attending)
        worn, _ = operator.agent()
        other, _ = operator.agent("node-b")
        async with attending(worn, other):
            await until(lambda: worn.state.failures_total["resource_exhausted"] >= 1)
            await until(lambda: other.state.attending)
        assert "too many streams of this node" in worn.state.why


async def test_the_address_of_a_storm_is_sent_away_over_real_connections(operator):
    operator.addresses = EachAdmission(AdmissionRate(per_second=0.001, burst=3.0))
    async with operator.serving():
        links = [operator.agent(token=f"token {number}")[0] for number in range(6)]
        async with attending(*links):
            await until(lambda: operator.service.counts.refusals_total["address"] >= 3)
        assert operator.admission.admitted_total == 3
        assert operator.service.counts.refusals_total["rate"] == 0


async def test_a_token_is_reviewed_once_a_minute(operator, counted):
    """Whoever shows it; after the minute it is reviewed again."""
    clock, comes, let_in = [1000.0], 20, 0
    operator.monotonic = lambda: clock[0]
    async with operator.serving():
        for _ in range(comes):
            link, _ = operator.agent()
            async with attending(link):
                await until(lambda link=link: link.state.attending)
                let_in += 1
        assert operator.reviews.asked == 1
        clock[0] += 60.0
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
        assert operator.reviews.asked == 2
    counted(
        "one token shown again and again within a minute: one review", injected=comes, survived=let_in,
        lost=comes - let_in, of=comes, what="streams",
    )  # fmt: skip


async def test_a_token_that_is_withdrawn_ends_the_stream_that_it_opened(operator):
    operator.review_seconds = 0.05
    async with operator.serving():
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
            await until(lambda: operator.reviews.asked >= 4)  # each time by the API server, not from memory
            assert link.state.streams_total == 1
            operator.reviews.kube_nodes.clear()
            await until(lambda: operator.service.counts.refusals_total["token"] >= 1)
            await until(lambda: not operator.service._streams)
            await until(lambda: "the token is not valid" in link.state.why)
            assert not link.state.attending


async def test_a_token_that_is_bound_to_another_node_by_now_ends_its_stream(operator):
    operator.review_seconds = 0.05
    async with operator.serving():
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
            operator.reviews.kube_nodes["token-node-a"] = "node-b"
            await until(lambda: not operator.service._streams)
            await until(lambda: "does not speak for node-a" in link.state.why)


async def test_an_open_stream_outlasts_an_api_server_that_is_away_for_a_while_and_no_longer(operator):
    operator.review_seconds, clock, reviews = 0.05, [0.0], operator.reviews

    async def reviewed(times):
        asked = reviews.asked
        await until(lambda: reviews.asked >= asked + times)

    async with operator.serving():
        operator.service.monotonic = lambda: clock[0]
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
            reviews.down = True
            clock[0] = 299.0
            await reviewed(5)
            reviews.down = False
            await reviewed(2)
            reviews.down = True
            clock[0] = 590.0  # less than so long after the last answer
            await reviewed(5)
            assert (link.state.attending, link.state.streams_total) == (True, 1)
            clock[0] = 700.0
            await until(lambda: operator.service.counts.refusals_total["review"] >= 1)
            await until(lambda: "TokenReview: 503" in link.state.why)


async def test_without_an_api_server_nobody_is_let_in_and_nobody_is_called_a_liar(operator):
    operator.reviews.down = True
    async with operator.serving():
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.failures_total["unavailable"] >= 1)
            assert "TokenReview: 503" in link.state.why
            operator.reviews.down = False
            await until(lambda: link.state.attending)


async def test_a_replica_that_does_not_lead_takes_no_streams_and_ends_those_it_has(operator):
    async with operator.serving():
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
            operator.leading = False
            await until(lambda: not link.state.attending)
            await until(lambda: "does not lead" in link.state.why)


async def test_a_newer_stream_of_a_node_replaces_the_older(operator):
    async with operator.serving():
        first, _ = operator.agent(session=AgentSession(8))
        second, _ = operator.agent(session=AgentSession(7))
        async with attending(first):
            await until(lambda: first.state.attending)
            async with attending(second):
                await until(lambda: second.state.attending)
                await until(lambda: first.state.failures_total["aborted"] >= 1)
    assert (
        "a newer stream of this node has replaced this one" in first.state.why
        or first.state.streams_total > 1
    )


@pytest.mark.parametrize(("minor", "attends"), [(1, True), (2, False)])
async def test_one_minor_version_of_skew_attends_and_two_are_told_why_not(operator, minor, attends):
    async with operator.serving():
        link, heard = operator.agent(session=AgentSession(7, version=ProtocolVersion(1, minor)))
        async with attending(link):
            if attends:
                await until(lambda: link.state.attending)
                operator.service.offer("node-a", ShrinkCancel(1, "test"))
                await until(lambda: heard)
            else:
                await until(lambda: link.state.failures_total["failed_precondition"] >= 1)
                assert "more than 1 minor version" in link.state.why


async def test_any_bytes_on_a_stream_are_counted_and_end_that_stream_alone(operator):
    """Of an agent of ours, in greeting and after it; another's stream goes on."""
    draw = np.random.default_rng(7)
    async with operator.serving():
        other, _ = operator.agent("node-b")
        async with attending(other):
            await until(lambda: other.state.attending)
            codes = []
            for number in range(12):
                link, _ = operator.agent()
                hello = service.request_bytes(wire.hello(link._session.greet(), link._facts()))
                bad = (draw.bytes(200), b"\xff" * 64, hello[: 3 + number])[number % 3]
                async with operator_channel(operator, link) as channel:
                    call = channel.stream_stream(service.PATH)(metadata=link._identity.metadata())
                    for text in (hello, bad)[number % 2 :]:  # half of them begin with it
                        await call.write(text)
                    await call.done_writing()
                    with pytest.raises(grpc.aio.AioRpcError) as ended:
                        await to_its_end(call)
                    codes.append(ended.value.code())
            other.offer(delta(3))
            await until(lambda: checksums(operator) == ["delta-3"])
            assert other.state.streams_total == 1
    assert set(codes) == {grpc.StatusCode.FAILED_PRECONDITION}
    assert operator.service.counts.refusals_total == {"protocol": len(codes)}


async def to_its_end(call):
    """How a call ended is told behind all that was said on it."""
    async with asyncio.timeout(60.0):
        async for _ in call:
            pass


def operator_channel(operator, link):
    options = (("grpc.ssl_target_name_override", OPERATOR_HOST),)
    credentials = link._identity.credentials()
    return grpc.aio.secure_channel(f"127.0.0.1:{operator.port}", credentials, options=options)


async def test_an_oversized_message_ends_the_stream_and_not_the_server(operator, monkeypatch):
    """From who says it all the same, and once more: whoever believes that an operator takes more."""
    monkeypatch.setattr(service, "MOST_REQUEST_BYTES", 8 << 20)  # the server's options were made before
    async with operator.serving():
        link, _ = operator.agent()
        other, _ = operator.agent("node-b")
        async with attending(link, other):
            await until(lambda: link.state.attending and other.state.attending)
            link.offer(ModelDelta("d", "k", "c", 1, "", 1, b"x" * (1 << 21)))
            # A write that fails as the call ends puts "internal" in its place (grpc/grpc#36066)
            kinds = ("resource_exhausted", "internal")
            await until(lambda: sum(link.state.failures_total[kind] for kind in kinds) >= 2)
            other.offer(delta(3))
            await until(lambda: checksums(operator) == ["delta-3"])


async def test_what_cannot_be_put_on_the_wire_is_given_up_and_everything_else_is_heard(operator):
    """Either side: a number that no column holds, text that is none, an id beyond 64 bits."""
    async with operator.serving():
        link, heard = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
            link.offer(samples(2.0**53), level=True)
            link.offer(ModelDelta("d", "k", "\ud800", 1, "", 1, b""))
            link.offer(delta(1))
            await until(lambda: checksums(operator) == ["delta-1"])
            operator.service.offer("node-a", ShrinkCancel(1 << 70, "too long an id"))
            operator.service.offer("node-a", LeaseAnswer(9, 1, -5.0))
            await until(lambda: heard)
            assert heard == [LeaseAnswer(9, 1, 0.0)]
            assert operator.service.counts.refusals_total == {"unsaid": 1}
            assert link._session.outbox.dropped_total == 2
    assert link.state.streams_total == 1
    assert len(operator.heard.bodies) == 1


async def test_a_stream_whose_sender_has_died_ends_and_the_next_one_says_everything(operator, monkeypatch):
    link, _ = operator.agent()
    sends, whole = [], link._next

    def once_broken(quiet):
        sends.append(quiet)
        if len(sends) == 1:
            raise RuntimeError("a fault of ours")
        return whole(quiet)

    monkeypatch.setattr(link, "_next", once_broken)
    link.offer(delta(1))
    async with operator.serving():
        link._address = f"127.0.0.1:{operator.port}"
        async with attending(link):
            await until(lambda: checksums(operator) == ["delta-1"])
    assert link.state.failures_total == {"fault": 1}
    assert link.state.streams_total == 2


async def test_a_fault_before_the_greeting_ends_no_attending(operator, monkeypatch):
    link, _ = operator.agent()
    whole, tries = link._facts, []

    def once_broken():
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("a fault of ours")
        return whole()

    monkeypatch.setattr(link, "_facts", once_broken)
    async with operator.serving():
        link._address = f"127.0.0.1:{operator.port}"
        async with attending(link):
            await until(lambda: link.state.attending)
    assert link.state.failures_total == {"fault": 1}


async def test_what_a_full_buffer_of_the_operators_does_not_take_is_counted(operator):
    async with operator.serving():
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
        await until(lambda: not operator.service._streams)
        taken = [operator.service.offer("node-a", ShrinkCancel(number, "test")) for number in range(300)]
        assert taken.count(True) == Bounds().most_kept
        assert operator.service.counts.refusals_total["full"] == 300 - Bounds().most_kept


async def test_a_node_that_says_more_than_any_has_to_say_is_read_slowly_and_loses_nothing(operator):
    session = AgentSession(7)
    link, _ = operator.agent(session=session)
    assert all(link.offer(delta(number)) for number in range(200))
    async with operator.serving():
        operator.service.messages = AdmissionRate(per_second=0.001, burst=20.0)
        link._address = f"127.0.0.1:{operator.port}"
        async with attending(link):
            await until(lambda: len(checksums(operator)) == 20)
            other, _ = operator.agent("node-b")
            other.offer(delta(1000))
            async with attending(other):
                await until(lambda: "delta-1000" in checksums(operator))
            assert len(checksums(operator)) == 21
            assert link.state.attending
        await until(lambda: not operator.service._streams)
        async with attending(link):  # another stream is no way round it
            await until(lambda: link.state.streams_total == 2)
            other.offer(delta(1001))
            async with attending(other):
                await until(lambda: "delta-1001" in checksums(operator))
            assert len(checksums(operator)) == 22
    operator.epoch_id += 1
    async with operator.serving(), attending(link):
        await until(lambda: {f"delta-{number}" for number in range(200)} <= set(checksums(operator)))


async def test_a_node_that_asks_for_leases_without_end_is_told_so_and_costs_nothing_more(operator):
    async with operator.serving():
        operator.service.leases = AdmissionRate(per_second=0.001, burst=3.0)
        link, heard = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
            for number in range(50):
                link.offer(LeaseRequest(number + 1, 0, 1 << 20, 1 << 30, 1 << 20, 3.0, 0.0))
            await until(lambda: len(heard) == 47)
    asked = [body.lease_id for _, body in operator.heard.bodies if isinstance(body, LeaseRequest)]
    assert asked == [1, 2, 3]
    assert {each.refusal for each in heard} == {"this node asks too often"}
    assert operator.service.counts.refusals_total == {"leases": 47}


async def test_a_roster_without_end_ends_the_stream(tmp_path, authority):
    desks = Desks(rig())
    operator = Attended(tmp_path, authority, hearer=desks.desk)
    async with operator.serving():
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
            for number in range(3):
                first = 1 + number * 2000
                some = (RosterEntry(each, f"nobodys-{each}", "c") for each in range(first, first + 2000))
                assert link.offer(Roster(tuple(some)))
            await until(lambda: link.state.failures_total["failed_precondition"] >= 1)
    assert len(desks.desk.views.containers("node-a")) <= MOST_ROWS


async def test_a_drain_sends_the_agent_away_for_a_while(operator):
    async with operator.serving():
        link, _ = operator.agent()
        async with attending(link):
            await until(lambda: link.state.attending)
            operator.service.offer("node-a", Drain(0.01, "upgrade"))
            await until(lambda: link.state.streams_total == 2)


async def test_an_operator_that_stops_reading_loses_samples_and_nothing_else(operator):
    """The agent's buffer gives levels up; what must arrive waits, and the caller is told when it is full."""
    session = AgentSession(7, Bounds(most_kept=10, most_levels=5))
    link, _ = operator.agent(session=session)
    for number in range(50):
        link.offer(samples(float(number)), level=True)
    assert [link.offer(delta(number)) for number in range(12)] == [True] * 10 + [False] * 2
    async with operator.serving():
        link._address = f"127.0.0.1:{operator.port}"
        async with attending(link):
            await until(lambda: len(checksums(operator)) == 10)
    told = [
        body.columns["usage_bytes"][0] for _, body in operator.heard.bodies if isinstance(body, SampleBatch)
    ]
    assert told == [45.0, 46.0, 47.0, 48.0, 49.0]
    assert session.outbox.dropped_total == 45
