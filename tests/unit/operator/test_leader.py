"""In: a Lease behind `MemoryApi`, two candidates with clocks of their own. Out: who may write, and when."""

import asyncio

import pytest

from builders.kubeapi import MemoryApi
from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.leader import DEGRADED, Leader, LeaseSettings, NotLeaderError

KEY = ("leases", "plimsoll-system", "plimsoll-operator")


class Candidate:
    def __init__(self, api, identity, address=""):
        self.at = 0.0
        settings = LeaseSettings("plimsoll-system", identity, address=address)
        self.leader = Leader(api, settings, lambda: self.at, lambda: 1e9 + self.at)

    async def renew(self, at):
        self.at = at
        return await self.leader.renew()


@pytest.fixture
def api():
    return MemoryApi()


async def test_the_first_to_come_leads_and_keeps_leading(api):
    one, two = Candidate(api, "one"), Candidate(api, "two")
    assert await one.renew(0)
    assert not await two.renew(1)
    assert await one.renew(5)
    assert not await two.renew(16)
    assert api.objects[KEY]["spec"]["holderIdentity"] == "one"


async def test_leadership_ends_by_itself_before_others_may_start(api):
    one, two = Candidate(api, "one"), Candidate(api, "two")
    await one.renew(0)
    await two.renew(0)
    one.at = 11.9
    assert one.leader.holds()
    one.at = 12.1
    assert not one.leader.holds()
    with pytest.raises(NotLeaderError, match="one does not hold"):
        one.leader.check()
    assert not await two.renew(14.9)
    assert await two.renew(15.1)
    assert not await one.renew(15.2)
    assert api.objects[KEY]["spec"]["leaseTransitions"] == 1


async def test_clocks_of_two_machines_are_never_compared(api):
    one, two = Candidate(api, "one"), Candidate(api, "two")
    await one.renew(0)
    two.at = 1_000_000.0  # sees the Lease for the first time, however late its own clock
    assert not await two.renew(1_000_000.0)
    await one.renew(5)
    assert not await two.renew(1_000_014.0)


async def test_a_restarted_process_takes_its_own_lease_back_at_once(api):
    await Candidate(api, "one").renew(0)
    assert await Candidate(api, "one").renew(0.1)


async def test_a_released_lease_is_free_at_once(api):
    one, two = Candidate(api, "one"), Candidate(api, "two")
    await one.renew(0)
    assert not await two.renew(0.5)
    await one.leader.release()
    assert not one.leader.holds()
    assert await two.renew(1)
    await one.leader.release()  # another's Lease is not given up
    assert api.objects[KEY]["spec"]["holderIdentity"] == "two"


async def test_an_api_server_that_is_away_ends_leadership_only_by_time(api):
    one = Candidate(api, "one")
    await one.renew(0)
    for method, times in (("replace", 1), ("read", 2)):  # after a write that may have arrived it reads
        api.fail(method, ApiError(0, "NoAnswer", ""), times=times)
    assert await one.renew(5)
    assert await one.renew(10)
    assert not await one.renew(15)
    assert await one.renew(20)


@pytest.mark.parametrize("method", ["create", "replace"])
async def test_who_is_slower_by_a_moment_does_not_lead(api, method):
    if method == "replace":
        await Candidate(api, "old").renew(0)
    late = Candidate(api, "late" if method == "create" else "old")
    api.fail(method, ApiError(409, "Conflict", "faster"))
    assert not await late.renew(0)


async def test_who_leads_renews_with_one_request(api):
    one = Candidate(api, "one")
    await one.renew(0)
    api.calls.clear()
    assert await one.renew(5)
    assert await one.renew(10)
    assert [call[0] for call in api.calls] == ["replace", "replace"]


async def test_a_write_whose_answer_was_lost_is_found_by_reading(api):
    one = Candidate(api, "one")
    await one.renew(0)
    api.objects[KEY]["metadata"]["resourceVersion"] = "999"  # it arrived; we have the version of before
    assert await one.renew(5)
    one.at = 16.0
    assert one.leader.holds()


async def test_one_answer_that_is_lost_loses_no_leadership(api):
    settings = LeaseSettings("plimsoll-system", "one", duration_seconds=0.2)
    leader = Leader(api, settings, lambda: 0.0, lambda: 1e9)
    assert await leader.renew()
    replace, api.replace = api.replace, lambda *_: asyncio.Event().wait()
    assert await leader.renew()  # comes back before the time is over
    api.replace = replace
    assert await leader.renew()


async def test_the_wait_counts_from_before_the_renewal_was_sent(api):
    one = Candidate(api, "one")
    sent = api.create

    async def slow(*arguments):
        one.at += 10.0
        return await sent(*arguments)

    api.create = slow
    await one.renew(0)
    one.at = 12.1
    assert not one.leader.holds()


async def test_the_others_know_where_the_leader_is_reached_while_it_leads(api):
    one, two = Candidate(api, "one", "10.0.0.1:8444"), Candidate(api, "two", "10.0.0.2:8444")
    await one.renew(0)
    await two.renew(1)
    assert (one.leader.reached_at(), two.leader.reached_at()) == ("", "10.0.0.1:8444")
    two.at = 16.1  # nothing was heard of it since
    assert two.leader.reached_at() == ""
    await two.renew(16.1)
    assert two.leader.holds()
    await one.renew(16.2)
    assert (one.leader.reached_at(), two.leader.reached_at()) == ("10.0.0.2:8444", "")


async def test_an_address_that_a_predecessor_left_in_the_lease_is_not_the_holders(api):
    await Candidate(api, "one", "10.0.0.1:8444").renew(0)
    api.objects[KEY]["metadata"]["annotations"]["another"] = "stays"
    annotations = dict(api.objects[KEY]["metadata"]["annotations"])
    two, three = Candidate(api, "two"), Candidate(api, "three", "10.0.0.3:8444")
    for at in (0, 16):
        await two.renew(at)
    assert api.objects[KEY]["metadata"]["annotations"] == {"another": "stays"}, "it has none, and says none"
    api.objects[KEY]["metadata"]["annotations"] = annotations  # as a version that knows of none leaves it
    await three.renew(17)
    assert not three.leader.holds()
    assert three.leader.reached_at() == ""


async def test_whoever_gives_the_lease_up_is_no_longer_named(api):
    one, two = Candidate(api, "one", "10.0.0.1:8444"), Candidate(api, "two", "10.0.0.2:8444")
    await one.renew(0)
    await two.renew(1)
    await one.leader.release()
    await two.renew(2)
    assert (two.leader.holds(), two.leader.reached_at()) == (True, "")


async def test_what_the_holder_does_without_stands_in_the_lease_while_it_does(api):
    one, two = Candidate(api, "one"), Candidate(api, "two")

    def said():
        return api.objects[KEY]["metadata"].get("annotations", {}).get(DEGRADED)

    await one.renew(0)
    assert said() is None
    one.leader.degraded = lambda: "2 of 5 agents are away"
    await one.renew(5)
    assert said() == "one 2 of 5 agents are away"
    await two.renew(6)
    await two.renew(30)
    assert said() is None, "a successor says nothing of its predecessor's"
    await one.renew(60)
    assert await one.renew(76)
    one.leader.degraded = lambda: 1 / 0
    assert await one.renew(80), "a sentence is not worth the Lease"
    one.leader.degraded = lambda: ""
    await one.renew(85)
    assert said() is None
