"""In: CronJobs and workloads that begin by the clock, in a cluster that loops. Out: room that others do not
take, the pod that finds it, and pods that leave in time. Real: loop, membership, placer, reliever, admission,
parser.
"""

import copy

import numpy as np
import pytest

from builders.clusters import NOW, raw_policy, stamp
from builders.placing import new_pod, owned, placing, preferred, reviewed, room_node, told
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.place.coming import starts_of

MINUTE, HOUR = 60.0, 3600.0
PRESENT = int(NOW // HOUR) % 24  # eight in the morning, UTC
AT_ELEVEN = "0 11 * * *"
EVICT = {"node": "Prefer", "relief": "Evict"}


def cron_job(name="report", schedule=AT_ELEVEN, request="2000Mi", job=None, template=None, **spec):
    resources = {"requests": {"memory": request}, "limits": {"memory": "3Gi"}}
    pod = {"containers": [{"name": "app", "image": "x", "resources": resources}]} | (template or {})
    labels = {"labels": {"app": "web", "workload": name}}
    inner = {"template": {"metadata": labels, "spec": pod}} | (job or {})
    return {
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": inner}} | spec,
    }


def run_of(name, number, node, started=NOW, request="2000Mi"):
    """The pod of one run, as it runs on a node."""
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": f"{name}-{number}", "uid": f"uid-job-{number}"}
    pod = owned(name, f"{name}-{number}-x", node, request)
    pod["metadata"]["ownerReferences"] = [job | {"controller": True}]
    pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": stamp(started)}}
    return pod


def job_of(name, number):
    above = {"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": f"uid-{name}"}
    owner = [above | {"controller": True}]
    meta = {"name": f"{name}-{number}", "namespace": "shop", "ownerReferences": owner}
    return {"kind": "Job", "metadata": meta}


def cluster(job=None, day=None, node="Require", **settings):
    """Of n1 and n2 2000 MiB are spoken for each; `web` needs 1900 and runs on a third, cordoned."""
    nodes = [room_node("n1"), room_node("n2"), room_node("home", unschedulable=True)]
    pods = [owned("base", "base-0", "n1"), owned("base", "base-1", "n2"), owned("web", "web-0", "home")]
    rig = placing(nodes, pods, {"base": 2000.0, "web": 1900.0} | (day or {}), node, **settings)
    if job is not None:
        rig.api.put("cronjobs", job)
    return rig


async def looped(rig, now=NOW):
    await rig.once(now)
    return rig


async def whither(rig, count=2):
    """Where so many new pods of `web` go, "" where none keeps the bound."""
    found = []
    for at in range(count):
        before = rig.metrics.value("plimsoll_placements_total", outcome="preferred-full")
        nodes = preferred(await reviewed(rig, new_pod(request="64Mi"), uid=f"{at:012}"))
        full = rig.metrics.value("plimsoll_placements_total", outcome="preferred-full") != before
        found.append("" if full or not nodes else nodes[0])
    return found


def kept(rig):
    return rig.metrics.value("plimsoll_placement_coming_pods", room="kept")


async def test_two_pods_fill_the_cluster_where_nobody_comes():
    assert sorted(await whither(await looped(cluster()))) == ["n1", "n2"]


async def test_room_is_kept_for_a_cron_job_that_starts_in_three_hours():
    rig = await looped(cluster(cron_job()))
    assert kept(rig) == 1
    first, second = await whither(rig)
    assert (first in ("n1", "n2"), second) == (True, "")


@pytest.mark.parametrize(
    "job",
    [
        cron_job(suspend=True),
        cron_job(schedule="@every 5h"),
        cron_job(schedule="nonsense"),
        cron_job(timeZone="Mars/Olympus"),
        cron_job(schedule="0 11 1 1 *"),
        cron_job(job={"parallelism": 0}),
        cron_job(job={"parallelism": "many"}),
        cron_job(template={"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]}),
    ],
)
async def test_nothing_is_kept_for_what_does_not_come_within_the_day_or_is_in_doubt(job):
    rig = await looped(cluster(job))
    assert kept(rig) == 0
    assert sorted(await whither(rig)) == ["n1", "n2"]


async def test_nothing_is_kept_for_whose_policy_does_not_ask():
    rig = cluster(cron_job())
    target = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "report"}
    rig.api.put("memorypolicies", raw_policy("own", targetRef=target, placement={"node": "Off"}))
    assert kept(await looped(rig)) == 0


async def test_the_zone_says_when_it_starts():
    # Eleven in Auckland is ten at night in UTC (the present hour is eight): both are within the day.
    assert starts_of(AT_ELEVEN, "Pacific/Auckland", NOW) == [NOW + 14 * HOUR]
    assert starts_of(AT_ELEVEN, "", NOW) == [NOW + 3 * HOUR]
    assert starts_of("0 8 * * *", "", NOW + 300) == [NOW]  # late by five minutes, and waited for
    assert NOW not in starts_of("0 8 * * *", "", NOW + 700)


async def test_each_pod_of_a_run_has_room_of_its_own():
    job = cron_job(request="900Mi", job={"parallelism": 3, "completions": 2})
    rig = await looped(cluster(job))
    assert kept(rig) == 2


async def test_what_fits_nowhere_is_counted():
    rig = await looped(cluster(cron_job(request="3000Mi")))
    assert (kept(rig), rig.metrics.value("plimsoll_placement_coming_pods", room="unfit")) == (0, 1)


async def test_room_stays_on_its_node_from_loop_to_loop():
    rig = await looped(cluster(cron_job()))
    before = dict(rig.placer._room._nodes)
    for minute in range(1, 5):
        await rig.once(NOW + minute * MINUTE)
    assert rig.placer._room._nodes == before != {}


async def ended_run(rig, number=1, stays=1):
    """The CronJob ran on n1, ended, and was gone for hours: its last loads are older than any opinion."""
    rig.engine.day_mib["report"] = 2000.0
    rig.engine.stays_hours["report"] = stays
    rig.api.put("jobs", job_of("report", number))
    rig.api.put("pods", run_of("report", number, "n1"))
    await rig.once(NOW + 1200)
    del rig.api.objects["pods", "shop", f"report-{number}-x"]
    rig.engine.day_mib.pop("report")
    for hour in range(1, 6):  # from their middle on: what was used in them judges nobody
        await rig.once(NOW + hour * HOUR + 1200)


def created(number=2):
    pod = new_pod("report", "2000Mi")
    pod["metadata"]["ownerReferences"] = run_of("report", number, "n1")["metadata"]["ownerReferences"]
    return pod


async def test_a_run_is_remembered_and_its_pod_takes_the_room_that_was_kept():
    rig = cluster(cron_job(schedule="0 14 * * *", request="64Mi"), node="Prefer")
    await ended_run(rig)
    rig.api.put("jobs", job_of("report", 2))
    await rig.once(NOW + 6 * HOUR + 30)  # fourteen o'clock: it is due
    assert kept(rig) == 1
    (where,) = rig.placer._room._nodes.values()
    pod = await reviewed(rig, created())
    assert preferred(pod)[0] == where
    assert "0.00% before" in told(pod)
    assert len(rig.placer._room) == 0
    assert rig.metrics.value("plimsoll_placements_total", outcome="unknown") == 0


async def test_a_dry_run_leaves_the_room_kept():
    rig = cluster(cron_job(schedule="0 14 * * *"), node="Prefer")
    await ended_run(rig)
    rig.api.put("jobs", job_of("report", 2))
    await rig.once(NOW + 6 * HOUR)
    need = rig.placer._state.chooser.need_bytes.copy()
    await reviewed(rig, created(), dryRun=True)
    assert len(rig.placer._room) == 1
    np.testing.assert_allclose(rig.placer._state.chooser.need_bytes, need)


async def test_while_a_run_has_its_pods_no_room_is_kept_for_the_next():
    rig = cluster(cron_job(), {"report": 100.0})
    rig.api.put("jobs", job_of("report", 1))
    rig.api.put("pods", run_of("report", 1, "n1"))
    assert kept(await looped(rig)) == 0


async def test_a_run_that_has_always_ended_within_the_hour_leaves_the_evening_to_others():
    evening = np.where(np.arange(24) == (PRESENT + 8) % 24, 1500.0, 100.0)
    rig = cluster(day={"base": 1800.0, "report": 2000.0, "web": evening})
    for at, node in enumerate(("n1", "n2")):
        rig.api.put("jobs", job_of("report", at))
        rig.api.put("pods", run_of("report", at, node))
    await looped(rig)
    assert await whither(rig, 1) == [""]  # for all that is known it may run all day
    rig.engine.stays_hours["report"] = 1
    await rig.once(NOW + MINUTE)
    assert await whither(rig, 1) != [""]


# -- workloads that are scaled up by the clock -----------------------------------------------------------


async def scaled(days=1):
    """`shift` begins at eleven every day with two pods, stays four hours, and has none now."""
    rig = cluster(day={"shift": 1500.0})
    rig.engine.begins["shift"], rig.engine.stays_hours["shift"] = 1 << 11, 4
    for at, node in enumerate(("n1", "n2")):
        rig.api.put("pods", owned("shift", f"shift-{at}", node))
    await rig.once(NOW)
    assert kept(rig) == 0
    for at in range(2):
        del rig.api.objects["pods", "shop", f"shift-{at}"]
    await rig.once(NOW + MINUTE)
    return rig


async def test_a_workload_that_begins_every_day_has_room_for_all_its_pods():
    rig = await scaled()
    assert kept(rig) == 2
    assert await whither(rig, 1) == [""]


async def test_a_start_that_did_not_come_keeps_no_room_after_its_hour():
    rig = await scaled()
    noon = np.where(np.arange(24) == 12, 1900.0, 10.0)
    rig.engine.day_mib["web"] = noon
    await rig.once(NOW + 3.5 * HOUR)
    assert await whither(rig, 1) == [""]
    await rig.once(
        NOW + 4 * HOUR
    )  # from now on it is tomorrow's that is waited for: at eleven, not today at noon
    assert kept(rig) == 2


async def test_what_is_forgotten_comes_no_more():
    rig = await scaled()
    for hour in range(1, 27):
        await rig.once(NOW + hour * HOUR)  # a day without pods: its rows went to others
    assert kept(rig) == 0


# -- who leaves in time ----------------------------------------------------------------------------------


async def crowded(relief=EVICT, importance=None, schedule="15 8 * * *"):
    """For a run of 2000 MiB at a quarter past eight n1 and n2 have 1600 MiB; pods of `small` could leave."""
    rig = cluster(cron_job(schedule=schedule), {"base": 1500.0, "small": 1000.0}, node="Prefer")
    for at in range(2):
        rig.api.put("pods", owned("small", f"small-{at}", f"n{at + 1}"))
    spare = room_node("n3", memory="1500Mi")
    rig.api.put("nodes", spare)
    rig.api.put("memorypolicies", raw_policy(mode="InPlaceOrRecreate", placement=relief))
    stays = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "base"}
    rig.api.put("memorypolicies", raw_policy("stays", targetRef=stays, placement={"node": "Prefer"}))
    if importance:
        target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "small"}
        own = raw_policy(
            "own", mode="InPlaceOrRecreate", targetRef=target, placement=relief, importance=importance
        )
        rig.api.put("memorypolicies", own)
    await rig.once(NOW - 10 * MINUTE)
    return rig


async def test_room_is_made_a_quarter_of_an_hour_before_the_start_and_not_sooner():
    rig = await crowded()
    assert rig.metrics.value("plimsoll_placement_coming_pods", room="unfit") == 1
    assert rig.api.evicted == []
    await rig.once(NOW + MINUTE)
    assert rig.api.evicted in (["small-0"], ["small-1"])
    notes = [each["note"] for key, each in rig.api.objects.items() if key[0] == "events"]
    assert any("room is made for shop/CronJob/report, which starts at 08:15 UTC" in each for each in notes)
    assert await succeeded(rig) == [other_than(rig)]
    await rig.once(NOW + 2 * MINUTE)
    assert kept(rig) == 1
    await rig.once(NOW + 3 * MINUTE)
    assert len(rig.api.evicted) == 1


async def succeeded(rig):
    """The last pod that was evicted is gone, and its successor is where the webhook told it to go."""
    gone = rig.api.evicted[-1]
    rig.api.objects.pop(("pods", "shop", gone), None)
    pod = await reviewed(rig, new_pod("small"), uid=f"{gone}-0000")
    there = preferred(pod)
    young = owned("small", gone, there[0])
    young["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": stamp(rig.now_seconds)}}
    rig.api.put("pods", young)
    return there


def other_than(rig):
    """Of n1 and n2 the one that nobody left: beside what runs there it has room for the successor."""
    return {"small-0": "n2", "small-1": "n1"}[rig.api.evicted[-1]]


async def test_what_was_left_for_a_start_is_not_given_to_the_successor():
    # Beside its victim a node has room for the successor, and best fit would send it back.
    rig = await crowded()
    rig.api.put("nodes", room_node("n3", memory="1700Mi"))
    seen = 0
    for minute in range(4):
        await rig.once(NOW + minute * MINUTE)
        if len(rig.api.evicted) > seen:
            seen = len(rig.api.evicted)
            where = rig.placer.room.making_on
            assert len(where) == 1
            assert where.isdisjoint(await succeeded(rig))
    assert (kept(rig), seen) == (1, 1)


async def test_the_room_that_a_successor_was_promised_is_nobody_elses():
    rig = await crowded()
    rig.engine.day_mib["web"] = 1000.0
    await rig.once(NOW + MINUTE)
    assert len(rig.api.evicted) == 1
    assert await whither(rig, 1) == ["n3"]
    assert await succeeded(rig) == [other_than(rig)]


async def test_room_that_nobody_left_for_is_given_up():
    rig = await crowded()
    for _ in range(2):
        rig.api.fail("evict", ApiError(429, "TooManyRequests", "budget"))
    await rig.once(NOW + MINUTE)
    assert rig.api.evicted == []
    assert rig.placer.room.making_on == set()
    need = rig.placer._state.chooser.need_bytes.copy()
    await rig.once(NOW + 2 * MINUTE)
    np.testing.assert_allclose(rig.placer._state.chooser.need_bytes, need)


@pytest.mark.parametrize(("grace", "leave"), [(30, 1), (3600, 0)])
async def test_only_those_leave_who_are_gone_before_the_start(grace, leave):
    rig = await crowded()
    for at in range(2):
        rig.api.put("pods", owned("small", f"small-{at}", f"n{at + 1}", grace=grace))
    await rig.once(NOW + MINUTE)
    assert len(rig.api.evicted) == leave


async def test_nobody_leaves_without_consent():
    rig = await crowded({"node": "Prefer"})
    await rig.once(NOW + MINUTE)
    assert rig.api.evicted == []


async def test_nobody_leaves_for_a_less_important_run():
    rig = await crowded(importance="High")
    await rig.once(NOW + MINUTE)
    assert rig.api.evicted == []


async def test_nobody_leaves_where_another_leads():
    rig = await crowded()
    rig.monotonic = 1e6
    await rig.once(NOW + MINUTE, leading=False)
    assert rig.api.evicted == []


# -- the record ------------------------------------------------------------------------------------------


def test_what_is_kept_of_a_cron_job():
    record = parse.cron_job(cron_job(timeZone="Europe/Zurich", job={"parallelism": 2}))
    assert (record.namespace, record.name, record.schedule, record.zone) == (
        "shop", "report", AT_ELEVEN, "Europe/Zurich",
    )  # fmt: skip
    assert (record.pods, record.needs.request_bytes, record.specs[0].name) == (2, 2000 * 2**20, "app")
    assert dict(record.labels)["workload"] == "report"


@pytest.mark.parametrize("broken", [{}, {"spec": None}, {"metadata": None, "spec": {"jobTemplate": 7}}])
def test_nothing_that_a_cluster_may_hold_raises(broken):
    raw = copy.deepcopy(cron_job()) | broken
    record = parse.cron_job(raw)
    assert record is None or record.pods == 1
