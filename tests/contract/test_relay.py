"""Any replica takes agents' streams, and the one that leads hears them: real gRPC, every message counted.

A leader's change is orderly (it lost the Lease, or was told to end) or it is not (its process is no more).
"""

import time

import grpc
import pytest

from builders.attending import attending, until
from builders.authority import AGENT_HOST, OPERATOR_HOST, Authority
from builders.replicas import Said, replicas
from plimsoll.coordinate.admission import Admission, AdmissionRate
from plimsoll.coordinate.messages import Roster, RosterEntry, ShrinkCancel
from plimsoll_operator.coordinate.identity import ServerIdentity
from plimsoll_operator.coordinate.relay import STREAMS_OF_A_CONNECTION, Relay
from plimsoll_proto import service

AGENTS = 6


@pytest.fixture
async def made(tmp_path):
    async with replicas(tmp_path) as served:
        yield served


async def test_an_agent_that_reaches_another_replica_speaks_with_the_leader(made):
    said = Said(made, AGENTS, 1)
    async with attending(*said.links):
        await until(said.all_attend)
        said.speak(50)
        said.tell(50)
        await said.settled()
    assert (said.lost(), said.twice(), said.down(), said.in_order()) == (0, 0, (0, 0), True)
    assert [len(bodies) for bodies in made.all_heard] == [AGENTS * 50, 0, 0]
    relay = made.each[1].attended.service.relay
    assert relay.streams_total >= AGENTS
    await until(lambda: len(relay) == 0 and not relay._lanes)


async def test_connections_between_replicas_are_shared_as_far_as_a_server_allows(made):
    said = Said(made, AGENTS, 1)
    async with attending(*said.links):
        await until(said.all_attend)
        lanes = made.each[1].attended.service.relay._lanes
        assert sum(lane.streams for lane in lanes) == AGENTS
        assert max(lane.streams for lane in lanes) <= STREAMS_OF_A_CONNECTION
        assert len(lanes) == 2


async def test_a_token_that_is_withdrawn_ends_a_relayed_stream_too(made):
    made.leader.service.review_seconds = 0.05
    link, _ = made.agent("node-1", 1)
    async with attending(link):
        await until(lambda: link.state.attending)
        made.leader.reviews.kube_nodes.clear()
        await until(lambda: "the token is not valid" in link.state.why)
        await until(lambda: not made.leader.service._streams)


async def test_relays_that_die_under_load_lose_and_repeat_nothing(made, counted):
    said, deaths, survived = Said(made, AGENTS, 1, 2), 0, 0
    async with attending(*said.links):
        await until(said.all_attend)
        for relay in (1, 2, 1, 2):
            said.speak(30)
            said.tell(30)
            await made.kill(relay)
            deaths += 1
            said.speak(30)
            said.tell(30)
            await until(lambda: said.all_attend() and said.lost() == 0)
            survived += 1
            await made.start(relay)
        await said.settled()
    assert (said.lost(), said.twice(), said.again(), said.down(), said.in_order()) == (0, 0, 0, (0, 0), True)
    counted(
        "a relaying replica killed under load",
        injected=deaths, survived=survived, lost=said.lost() + said.down()[0],
        of=AGENTS * (said.said + said.told), what="messages",
    )  # fmt: skip


async def test_a_leader_that_loses_the_lease_under_load_loses_and_repeats_nothing(made, counted):
    said, changes, survived = Said(made, AGENTS, 0, 1, 2), 0, 0
    async with attending(*said.links):
        await until(said.all_attend)
        for successor in (1, 2, 0, 1, 2, 0):
            said.speak(40)
            await until(lambda: sum(map(len, made.all_heard)) > 0)
            made.lead(-1)
            said.speak(10)  # while nobody leads
            made.lead(successor)
            changes += 1
            said.speak(20)
            await until(lambda: said.all_attend() and said.lost() == 0)
            survived += 1
        await said.settled()
    assert (said.lost(), said.twice(), said.again(), said.in_order()) == (0, 0, 0, True)
    counted(
        "the Lease changes hands under load",
        injected=changes, survived=survived, lost=said.lost(), of=AGENTS * said.said, what="messages",
    )  # fmt: skip


async def test_a_leader_that_drains_is_heard_to_its_last_word_and_its_successor_hears_nothing_again(made):
    said = Said(made, AGENTS, 1, 2)
    async with attending(*said.links):
        await until(said.all_attend)
        said.speak(100)
        made.leader.service.drain("this replica ends", 0.01)
        said.speak(10)
        await until(lambda: sum(link.state.streams_total for link in said.links) >= 2 * AGENTS)
        await made.kill(0)
        made.lead(1)
        await said.settled()
    assert (said.lost(), said.twice(), said.again(), said.in_order()) == (0, 0, 0, True)


async def test_leaders_that_are_killed_under_load_lose_nothing_and_what_is_heard_again_was_unacknowledged(
    made, counted
):
    said, again, killed, survived = Said(made, AGENTS, 0, 1, 2), 0, 0, 0
    async with attending(*said.links):
        await until(said.all_attend)
        for successor in (1, 2, 0, 1, 2, 0):
            said.speak(40)
            before, heard = made.leads, len(made.leader.heard.bodies)
            await until(lambda heard=heard: len(made.leader.heard.bodies) > heard)
            await made.kill(before)
            killed += 1
            held = sum(len(link._session.outbox) for link in said.links)
            made.lead(successor)
            said.speak(20)
            await until(lambda: said.lost() == 0)
            assert said.again() - again <= held, "only what the agent still kept"
            again, survived = said.again(), survived + 1
            await made.start(before)
        await said.settled()
    assert (said.lost(), said.twice(), said.in_order()) == (0, 0, True)
    counted(
        "the leading replica killed under load",
        injected=killed, survived=survived, lost=said.lost(), of=AGENTS * said.said, what="messages",
    )  # fmt: skip


async def test_a_leader_whose_machine_is_gone_is_left_as_soon_as_another_leads(made):
    """Nothing closes the connection: the relay goes by the Lease, long before keep-alive notices."""
    said = Said(made, 2, 1)
    async with attending(*said.links):
        await until(said.all_attend)
        made.each[0].attended.service.takes = lambda: False  # it stands still
        made.each[0].attended.leading = True
        said.speak(5)
        began = time.monotonic()
        made.leads = 2
        made.each[2].attended.leading = True
        made.each[1].attended.service.relay.look()
        await until(lambda: said.all_attend() and said.lost() == 0)
        assert time.monotonic() - began < 10.0
    assert [len(bodies) for bodies in made.all_heard] == [0, 0, 10]


async def test_while_nobody_leads_agents_are_told_to_come_back_and_lose_nothing(made):
    made.lead(-1)
    said = Said(made, 2, 1, 2)
    async with attending(*said.links):
        said.speak(10)
        await until(lambda: all(link.state.failures_total["unavailable"] >= 2 for link in said.links))
        assert "none is known that does" in said.links[0].state.why
        made.lead(0)
        await said.settled()
    assert (said.lost(), said.twice()) == (0, 0)


async def test_what_is_relayed_goes_one_hop_and_no_further(made):
    made.each[0].attended.leading = False  # two replicas, each of which believes the other leads
    made.leads = 0
    link, _ = made.agent("node-1", 1)
    async with attending(link):
        await until(lambda: "by way of another replica: this replica does not lead" in link.state.why)
    assert made.each[0].attended.service.relay.streams_total == 0


async def test_a_relay_lets_nobody_in_whom_the_leader_would_not(made):
    door = made.each[1].attended
    stolen, _ = made.agent("node-2", 1)
    for each in made.each:
        each.attended.reviews.kube_nodes["token-node-2"] = "node-3"
    unknown, _ = made.agent("node-4", 1)
    del door.reviews.kube_nodes["token-node-4"]
    async with attending(stolen, unknown):
        await until(lambda: stolen.state.failures_total["permission_denied"] >= 1)
        await until(lambda: unknown.state.failures_total["unauthenticated"] >= 1)
    assert made.leader.reviews.asked == 0, "refused here: the leader has never heard of them"


async def test_a_relay_is_not_believed_the_leader_reviews_the_agents_own_token(made):
    link, _ = made.agent("node-1", 1)
    del made.leader.reviews.kube_nodes["token-node-1"]  # the relay's own API server still says yes
    async with attending(link):
        await until(lambda: link.state.failures_total["unauthenticated"] >= 1)
    assert made.leader.heard.greeted_nodes == []


async def test_rosters_and_nonsense_are_judged_by_the_leader(made):
    link, _ = made.agent("node-1", 1)
    async with attending(link):
        await until(lambda: link.state.attending)
        link.offer(Roster((RosterEntry(1, "pod-5", "c1"),)))
        await until(lambda: link.state.failures_total["permission_denied"] >= 1)
    assert "pod pod-5 does not run on kube node node-1" in link.state.why


async def test_the_leaders_door_sends_relayed_agents_away_for_as_long_as_it_says(made):
    made.leader.service.admission = Admission(AdmissionRate(per_second=0.02, burst=1.0))
    links = [made.agent(f"node-{number}", 1)[0] for number in range(3)]
    async with attending(*links):
        await until(lambda: sum("come back in 50.00 s" in link.state.why for link in links) == 2)


async def test_who_does_not_have_the_operators_certificate_is_not_taken_for_the_leader(tmp_path, made):
    """Whoever writes an address into the Lease needs the operator's key besides: an agent's is no use."""
    pair = Authority("somebody else")
    thief = made.each[2].attended
    thief.authority, thief.leading = pair, True
    await made.kill(2)
    await made.start(2)
    thief.leading = True
    made.leads = 2
    link, _ = made.agent("node-1", 1)
    async with attending(link):
        await until(lambda: link.state.failures_total["unavailable"] >= 2)
    assert thief.heard.greeted_nodes == []


async def test_the_leaders_name_must_be_in_its_certificate(tmp_path, made):
    identity = ServerIdentity(made.authority.write(tmp_path / "own", "operator"))
    relay = Relay(identity, lambda: made.reached_at, "plimsoll-operator-agents.elsewhere.svc", time.monotonic)
    made.each[1].attended.service.relay = relay
    link, _ = made.agent("node-1", 1)
    async with attending(link):
        await until(lambda: link.state.failures_total["unavailable"] >= 2)
    assert made.leader.heard.greeted_nodes == []


async def test_an_agent_does_not_pass_for_a_replica(made):
    """Only what shows the operators' certificate is taken as relayed."""
    link, _ = made.agent("node-1", 0)
    options = (("grpc.ssl_target_name_override", OPERATOR_HOST),)
    own = link._identity
    async with grpc.aio.secure_channel(made.reached_at, own.credentials(), options=options) as channel:
        call = channel.stream_stream(service.PATH)(metadata=(*own.metadata(), (service.RELAYED, "1")))
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert await call.details() == f"the certificate is of {AGENT_HOST}, not of {OPERATOR_HOST}"
    assert made.leader.reviews.asked == 0


async def test_a_replica_with_a_certificate_of_another_name_carries_nobody(tmp_path, made):
    pair = made.authority.write(
        tmp_path / "own", "operator", hosts=("plimsoll-operator-agents.elsewhere.svc",)
    )
    made.each[1].attended.service.relay = Relay(
        ServerIdentity(pair), lambda: made.reached_at, OPERATOR_HOST, time.monotonic
    )
    link, _ = made.agent("node-1", 1)
    async with attending(link):
        await until(lambda: link.state.failures_total["permission_denied"] >= 1)
    assert made.leader.heard.greeted_nodes == []


async def test_bytes_that_are_no_message_end_their_stream_alone(made):
    said = Said(made, 1, 1)
    identity = said.links[0]._identity
    async with (
        attending(*said.links),
        grpc.aio.secure_channel(
            f"127.0.0.1:{made.leader.port}",
            identity.credentials(),
            options=(("grpc.ssl_target_name_override", "localhost"),),
        ) as channel,
    ):
        await until(said.all_attend)
        call = channel.stream_stream(service.PATH)(metadata=identity.metadata())
        await call.write(b"\xff\xff\xff")
        assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION
        made.leader.service.offer("node-0", ShrinkCancel(1, "still there"))
        await until(lambda: said.heard["node-0"])
