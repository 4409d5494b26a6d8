"""In: a Lease behind `MemoryApi`, two candidates with clocks of their own. Out: who may write, and when."""

import pytest

from builders.kubeapi import MemoryApi
from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.leader import Leader, LeaseSettings, NotLeaderError

KEY = ("leases", "plimsoll-system", "plimsoll-operator")


class Candidate:
    def __init__(self, api, identity):
        self.at = 0.0
        self.leader = Leader(
            api, LeaseSettings("plimsoll-system", identity), lambda: self.at, lambda: 1e9 + self.at
        )

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


@pytest.mark.parametrize("method", ["read", "replace"])
async def test_an_api_server_that_is_away_ends_leadership_only_by_time(api, method):
    one = Candidate(api, "one")
    await one.renew(0)
    api.fail(method, ApiError(0, "NoAnswer", ""), times=3)
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
