"""An operator is killed with a lease in force; the next ends it, once, at the limit from before.

Nothing is known of the container but its limit: no forecast ends the lease.
"""

import asyncio
from dataclasses import replace

import pytest

from builders.clusters import MIB, NOW
from builders.desks import Desks
from builders.loops import MINUTE, rig
from plimsoll.coordinate.messages import LeaseRequest
from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.coordinate.lease_notes import BETWEEN_SECONDS
from plimsoll_operator.coordinate.lending import TAKEN_OVER_SECONDS

WEB = "deployment-web"
LATE = int(TAKEN_OVER_SECONDS / MINUTE) + 2


class Killed(BaseException):
    """As SIGKILL: nothing behind it runs."""


async def operator(monkeypatch):
    """One that is content with web-0's limit of 1 GiB, and then knows no forecast any more."""
    made = Desks(rig(targets={"app": 1024}))
    await made.once(NOW)
    made.attend(NOW)
    made.samples(900, NOW)
    await made.once(NOW + MINUTE)
    monkeypatch.setattr(made.desk._asks, "for_row", lambda row, now: None)
    return made


def next_of(made, now_seconds):
    """Another process that leads the same cluster: nothing but the API server's objects is left."""
    after = Desks(made.rig, epoch_id=2)
    after.attend(now_seconds)
    after.samples(900, now_seconds)
    return after


def noted(made):
    """What the profile remembers of leases, as (before, limit) in MiB."""
    (name,) = [key[2] for key in made.rig.api.objects if key[0] == "memoryprofiles"]
    leases = made.rig.api.profile(name).get("leases", [])
    return [(each["before"], each["limit"]) for each in leases]


async def test_a_lease_is_noted_while_it_stands_and_until_it_is_taken_back(monkeypatch):
    made = await operator(monkeypatch)
    assert noted(made) == []
    await made.asks_for(400, NOW + 61)
    assert noted(made) == [("1Gi", "1424Mi")]
    await made.loops(range(2, 4))
    assert noted(made) == [("1Gi", "1424Mi")], "it is in force"
    await made.loops(range(4, 40))
    assert made.rig.limit() == 1024
    assert noted(made) == []


@pytest.mark.parametrize("killed_minute", [1, 2, 5, 6, 7, 9])
async def test_the_next_operator_ends_a_lease_that_it_did_not_grant(monkeypatch, killed_minute):
    made = await operator(monkeypatch)
    await made.asks_for(400, NOW + 61)
    await made.loops(range(2, killed_minute + 1))
    after = next_of(made, NOW + killed_minute * MINUTE + 30)
    await after.loops(range(killed_minute + 1, killed_minute + 3))
    assert made.rig.limit() in {1024, 1424}
    await after.loops(range(killed_minute + 3, killed_minute + 40))
    assert made.rig.limit() == 1024
    assert noted(made) == []
    assert len(after.desk.lending.book) == 0
    writes = [call for call in made.rig.api.calls if call[0] == "resize"]
    await after.loops(range(killed_minute + 40, killed_minute + 50))
    assert [call for call in made.rig.api.calls if call[0] == "resize"] == writes, "once"


async def test_without_the_note_it_would_stay_for_ever(monkeypatch):
    made = await operator(monkeypatch)
    await made.asks_for(400, NOW + 61)
    (name,) = [key[2] for key in made.rig.api.objects if key[0] == "memoryprofiles"]
    del made.rig.api.profile(name)["leases"]
    after = next_of(made, NOW + 90)
    await after.loops(range(2, 60))
    assert made.rig.limit() == 1424


@pytest.mark.parametrize("step", ["before the raise", "after it"])
async def test_a_kill_between_note_and_raise_leaves_nothing_that_nobody_ends(monkeypatch, step):
    made = await operator(monkeypatch)
    raise_now = made.desk.lending._raise_now

    async def dies(*arguments):
        if step == "after it":
            await raise_now(*arguments)
        raise Killed

    monkeypatch.setattr(made.desk.lending, "_raise_now", dies)
    made.samples(900, NOW + 61)
    made.says(LeaseRequest(9, 0, 400 * MIB, 1024 * MIB, 50 * MIB, 3.0, NOW + 61), NOW + 61)
    await asyncio.gather(*made.desk._tasks, return_exceptions=True)
    assert made.rig.limit() == (1424 if step == "after it" else 1024)
    assert noted(made) == [("1Gi", "1424Mi")], "it left before the raise did"

    after = next_of(made, NOW + 90)
    await after.loops(range(2, 2 + LATE + 30))

    assert made.rig.limit() == 1024
    assert noted(made) == []


async def test_a_second_lease_from_the_next_operator_ends_where_the_first_began(monkeypatch):
    made = await operator(monkeypatch)
    await made.asks_for(400, NOW + 61)
    after = next_of(made, NOW + 90)
    await after.once(NOW + 90)
    answer = await after.asks_for(200, NOW + 91, lease_id=10, read_mib=1424)
    assert answer.limit_bytes == 1624 * MIB
    assert noted(made) == [("1Gi", "1624Mi")]
    await after.loops(range(2, 50))
    assert made.rig.limit() == 1024


async def test_a_note_that_cannot_be_written_holds_no_lease_up_and_is_written_later(monkeypatch):
    made = await operator(monkeypatch)
    refuse = made.desk.lending._notes._api.patch_status

    async def down(resource, namespace, name, body):
        if "leases" in body["status"]:
            raise ApiError(503, "ServiceUnavailable", "down")
        return await refuse(resource, namespace, name, body)

    with monkeypatch.context() as patched:
        patched.setattr(made.rig.api, "patch_status", down)
        assert (await made.asks_for(400, NOW + 61)).limit_bytes == 1424 * MIB
        assert noted(made) == []
    await made.loops(range(2, 3))
    assert noted(made) == [("1Gi", "1424Mi")]


async def test_an_answer_waits_for_no_note_and_leases_that_come_meanwhile_share_the_next(monkeypatch):
    made = await operator(monkeypatch)
    api, written, free = made.rig.api, [], asyncio.Event()
    patch = api.patch_status

    async def slow(resource, namespace, name, body):
        if "leases" in body["status"]:
            written.append(len(body["status"]["leases"] or ()))
            await free.wait()
        return await patch(resource, namespace, name, body)

    monkeypatch.setattr(api, "patch_status", slow)
    assert (await made.asks_for(400, NOW + 61)).limit_bytes > 0
    notes, lent = made.desk.lending._notes, made.desk.lending.book.lent(("uid-web-0", "app"))
    more = [
        asyncio.create_task(notes.tell_of(replace(lent, uid=("uid-web-0", f"beside-{each}"))))
        for each in range(5)
    ]
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(*more, *made.desk.lending._noting)
    assert written == [1, 6]


async def test_leases_of_one_workload_are_noted_five_times_a_second_at_most(monkeypatch):
    made, paused, goes_on = await operator(monkeypatch), [], asyncio.Event()

    async def pause(seconds):
        paused.append(seconds)
        await goes_on.wait()

    made.desk.lending._notes._pause = pause
    assert (await made.asks_for(400, NOW + 61)).limit_bytes > 0
    notes, lent = made.desk.lending._notes, made.desk.lending.book.lent(("uid-web-0", "app"))
    beside = [replace(lent, uid=("uid-web-0", f"beside-{each}")) for each in range(5)]
    more = [asyncio.create_task(notes.tell_of(each)) for each in beside]
    for _ in range(20):
        await asyncio.sleep(0)
    assert (len(noted(made)), paused) == (1, [BETWEEN_SECONDS])
    goes_on.set()
    await asyncio.gather(*more, *made.desk.lending._noting)
    assert (len(noted(made)), paused) == (6, [BETWEEN_SECONDS] * 2)


async def test_a_lease_of_a_pod_that_is_gone_is_not_taken_over(monkeypatch):
    made = await operator(monkeypatch)
    await made.asks_for(400, NOW + 61)
    del made.rig.api.objects["pods", "shop", "web-0"]
    after = next_of(made, NOW + 90)
    await after.once(NOW + 120)
    assert len(after.desk.lending.book) == 0
