"""The fleet's memory in a real Redis: what happens without it, and what another node's experience is worth.

In: the release with `coordination.enabled`, `fleetMemory.enabled` and a redis-server beside the control
plane, for this file alone, so these tests run by themselves. Out: what stands in Redis, what metrics and the
operator's Lease say, how well agents foretell. Agents never speak to Redis: what they share goes to the
operator by their streams. Two settings are not the chart's defaults, or learning would take hours: one node's
word makes a candidate (`modelsLeastNodes`), and agents give theirs every two minutes instead of every ten.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from builders.e2e.cluster import Cluster, CommandError, Manifest
from builders.e2e.evidence import undone_by
from builders.e2e.figures import note
from builders.e2e.kernel import container_id
from builders.e2e.network import home_network
from builders.e2e.patience import wait_for
from builders.e2e.redis import USER, MemoryRedis, memory_redis
from builders.e2e.release import NAMESPACE, Release, cluster_values
from builders.e2e.session import run_directory
from builders.e2e.workloads import (
    container,
    controller,
    deployment,
    policy,
    restarts,
    running_pod,
    template,
)
from builders.redis_server import MISSING, binaries
from plimsoll.store.canary import on_trial
from plimsoll.store.shared_kinds import PAGES
from plimsoll.workload import shared_class

pytestmark = pytest.mark.disruptive

LEASE, DEGRADED = "plimsoll-operator", "plimsoll.dev/degraded"
SETTINGS = {"modelsLeastNodes": 1}
AGENTS_SAY_EVERY = "--models-interval=2m"
GENERATIONS, ENABLED = "/sys/kernel/debug/lru_gen", "/sys/kernel/mm/lru_gen/enabled"
FIRST_GENERATION = 1  # of a class's first candidate
LEARNS, CLASS, STRANGERS = {"learns": "yes"}, "learner", ("stranger-1", "stranger-2")
OBSERVATIONS = 4  # of each container: a minute and a half of looks
# A repeating pattern over 64 MiB: a fifth of it every second, half of it every ninety, the rest never again.
PROGRAM = """
import mmap, time
MIB = 1 << 20
memory = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
def touch(first, last):
    for at in range(first * MIB, last * MIB, 4096):
        memory[at] = 1
touch(0, 64)
swept = time.monotonic()
while True:
    touch(0, 12)
    if time.monotonic() - swept >= 90:
        touch(12, 48)
        swept = time.monotonic()
    time.sleep(1)
"""
REPORT = """
import json
from pathlib import Path
from plimsoll_nodeagent.serve.local import ask
print(json.dumps(ask(Path("/state/agent.sock"), {"do": "report"})["containers"]))
"""


@pytest.fixture(scope="module")
def redis(cluster: Cluster) -> Iterator[MemoryRedis]:
    """A real redis-server, for this file."""
    address = cluster.host_address()
    if not address:
        pytest.skip("the operator's Redis runs on this machine, of which pods reach no address here")
    with home_network():
        if binaries() is None:
            pytest.fail(MISSING)
    with memory_redis(run_directory() / "redis", address) as made:
        yield made


@pytest.fixture(scope="module")
def shared_values(cluster: Cluster, redis: MemoryRedis, prometheus_url: str) -> Manifest:
    """Values of the release with this Redis."""
    values = cluster_values(cluster, prometheus_url)
    operator = values["operator"]
    settings = {**operator["settings"], **SETTINGS}
    return {
        **values,
        **redis.values(),
        "coordination": {"enabled": True},
        "operator": {**operator, "settings": settings},
        "agent": {**values["agent"], "extraArgs": [*values["agent"]["extraArgs"], AGENTS_SAY_EVERY]},
    }


@pytest.fixture(scope="module")
def shared(
    cluster: Cluster, release: Release, redis: MemoryRedis, shared_values: Manifest, prometheus_url: str
) -> Iterator[Release]:
    """The release with this Redis, until the file's end."""
    secrets = redis.secrets(NAMESPACE)

    def back() -> None:
        release.install_or_upgrade(cluster_values(cluster, prometheus_url))
        for each in secrets:
            cluster.kube("-n", NAMESPACE, "delete", "secret", each["metadata"]["name"], "--ignore-not-found")

    with undone_by(back):
        cluster.apply(*secrets)
        release.install_or_upgrade(shared_values)
        wait_for(lambda: release.attending() >= len(cluster.nodes), "every node's agent to attend", 180)
        yield release


@pytest.fixture(scope="module")
def by_generations(cluster: Cluster, shared: Release, shared_values: Manifest) -> Release:
    """The same, with agents that see idle ages by the generations of the LRU: by DAMON an emulated node's
    looks cost so much that minutes lie between two."""
    for kube_node in cluster.nodes:
        if cluster.node_shell(kube_node, f"test -f {GENERATIONS} && echo there || true").strip() != "there":
            pytest.skip(f"{kube_node} has no {GENERATIONS}")
    agent = shared_values["agent"]
    acting = {**agent, "act": {**agent["act"], "lruGen": True}}
    shared.install_or_upgrade({**shared_values, "agent": acting})
    wait_for(lambda: shared.attending() >= len(cluster.nodes), "every node's agent to attend", 180)
    return shared


def test_redis_that_is_killed_and_comes_back_empty_has_it_all_again(cluster, shared, redis, namespace):
    made = deployment(cluster, namespace, "remembered", mib=24, limit="64Mi", request="32Mi")
    cluster.apply(policy(namespace, "remembered", "remembered", "Recommend"), made)
    running_pod(cluster, namespace, "remembered")
    name = f"{namespace}/Deployment/remembered:app"
    wait_for(lambda: redis.holds("history", name), "what was seen of it to be in Redis", 180)
    wait_for(lambda: not away(shared), "the operator to know Redis", 120)
    assert USER in redis.users()
    assert SHARES_NOT not in degraded(cluster)
    held, attended = redis.versions(), shared.attending()
    started = {each["metadata"]["uid"]: restarts(each) for each in pods(shared)}

    redis.server.kill()
    wait_for(lambda: away(shared), "the operator to say that Redis is away", 120)
    wait_for(lambda: SHARES_NOT in degraded(cluster), "the Lease to say so", 60)
    waits = wait_for(lambda: shared.counted("plimsoll_memory_waiting"), "records to wait for it", 120)
    assert shared.attending() == attended, "agents go on"

    redis.server.restart_empty()
    wait_for(lambda: restored(redis, held), "every record to be in Redis again", 180)
    wait_for(lambda: not away(shared), "the operator to say that Redis is there", 120)
    wait_for(lambda: SHARES_NOT not in degraded(cluster), "the Lease to say so", 60)
    assert shared.counted("plimsoll_memory_unwritten_total") == 0
    assert shared.attending() == attended
    assert {each["metadata"]["uid"]: restarts(each) for each in pods(shared)} == started
    note("redis_killed.records_before", len(held), "records")
    note("redis_killed.records_that_waited", waits, "records")
    note("redis_killed.records_lost", len(held.keys() - redis.versions().keys()), "records")


def test_what_node_a_learned_of_an_image_lowers_its_first_loss_on_node_b(
    cluster, by_generations, redis, namespace, record_property
):
    """Beside containers of the same image, started at the same time on the same node, of whose container
    names no node has said anything: they start cold.

    A candidate is tried on a tenth of the nodes before it is everybody's; B is a node that tries the first.
    The loss is the agent's own, of the hazards of return: how far what it expected to be touched again was
    from what was, relative to that, in the first looks at a container.
    """
    release, node_a = by_generations, cluster.open_nodes()[0]
    key = shared_class(cluster.load_image, CLASS)
    everybody = policy(
        namespace, "learns", "", "Recommend", selector={"matchLabels": LEARNS}, reclaim={"mode": "Cold"}
    )
    with with_generations(cluster, node_a):
        cluster.apply(everybody, *(learner(cluster, namespace, f"a-{n}", CLASS, node_a) for n in range(3)))
        with node_that_tries_first(cluster, node_a) as node_b, with_generations(cluster, node_b):
            wait_for(lambda: agent_is_ready(release, node_b), f"an agent on {node_b}", 180)
            wait_for(lambda: taken(release), "a word of node A on what it has learned", 300)
            # Before anything of the class runs on B: a candidate to which B's own word belonged would not do.
            wait_for(lambda: redis.holds("release", f"{PAGES} {key}"), "the candidate to be in Redis", 150)
            assert not told(release, node_b, "given")
            cluster.apply(learner(cluster, namespace, "b-asks", CLASS, node_b))
            wait_for(lambda: told(release, node_b, "given"), f"the agent of {node_b} to have it", 150)
            found = first_losses(cluster, release, namespace, node_b)
            refused = told(release, node_b, "refused")
    for arm, (loss, observations) in found.items():
        note(f"shared.first_loss.{arm}", loss, f"of what came back, {observations} observations")
    record_property("first_losses", json.dumps(found))
    warm, cold = ([loss for arm, (loss, _) in found.items() if arm.startswith(of)] for of in ("warm", "cold"))
    assert max(warm) < min(cold), found
    assert not refused, "its own guard found it worse than what ships"


# -- Redis --------------------------------------------------------------------------------------------------

SHARES_NOT = "the memory is not shared"


def away(release: Release) -> bool:
    """Whether the operator misses its Redis, by its metrics."""
    return release.counted("plimsoll_memory_redis_away") > 0


def degraded(cluster: Cluster) -> str:
    """What the operator does without, by its Lease."""
    lease = cluster.get("lease", LEASE, "-n", NAMESPACE)
    return str((lease["metadata"].get("annotations") or {}).get(DEGRADED, ""))


def restored(redis: MemoryRedis, before: Mapping[str, int]) -> bool:
    """Whether every record is there, as new as it was or newer."""
    now = redis.versions()
    return all(now.get(key, -1) >= version for key, version in before.items())


def pods(release: Release) -> list[Manifest]:
    """Of operator and agents."""
    return [*release.pods("operator"), *release.agents()]


# -- learning -----------------------------------------------------------------------------------------------


def learner(cluster: Cluster, namespace: str, name: str, container_name: str, kube_node: str) -> Manifest:
    """A Deployment with the pattern, on that node, whose container has that name."""
    one = container(cluster, mib=64, limit="160Mi", request="96Mi", name=container_name)
    one["command"] = ["python3", "-c", PROGRAM]
    pod = template(name, one, **cluster.standing_on(kube_node))
    pod["metadata"]["labels"] |= LEARNS
    return controller("Deployment", namespace, name, pod, replicas=1)


@contextmanager
def node_that_tries_first(cluster: Cluster, besides: str) -> Iterator[str]:
    """A node, other than that one, which is to try the first candidate of any class: a hash of its name says.

    Where no node is one, VM nodes get a further one for the block.
    """
    there = [each for each in cluster.nodes if each != besides and on_trial(each, FIRST_GENERATION)]
    if there:
        yield there[0]
    elif cluster.provider == "vm":
        numbers = range(len(cluster.nodes) + 1, 10)
        number = next(each for each in numbers if on_trial(f"node-{each}", FIRST_GENERATION))
        with cluster.another_node(number, NODE_MB="1536") as kube_node:
            yield kube_node
    else:
        pytest.skip(f"no node of {cluster.nodes} is among those that try a first candidate")


@contextmanager
def with_generations(cluster: Cluster, kube_node: str) -> Iterator[None]:
    """Let a node's kernel keep generations for the block, as its root: kernels may have them and leave them
    off."""
    before = cluster.node_shell(kube_node, f"cat {ENABLED} && echo y >{ENABLED}").strip()
    try:
        yield
    finally:
        cluster.node_shell(kube_node, f"echo {before} >{ENABLED}")


def agent_is_ready(release: Release, kube_node: str) -> bool:
    """Whether a node's agent is Ready."""
    for pod in release.agents():
        if pod["spec"].get("nodeName") == kube_node:
            conditions = pod["status"].get("conditions", [])
            return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return False


def told(release: Release, kube_node: str, outcome: str) -> float:
    """What came of models that a node's agent was told of."""
    samples = release.agent_samples(release.agent_on(kube_node))
    named = (each for each in samples if each.name == "plimsoll_agent_models_total")
    return sum(each.value for each in named if each.labels.get("outcome") == outcome)


def taken(release: Release) -> float:
    """Words of nodes on idle pages that the operator has taken."""
    return release.counted("plimsoll_models_total", outcome="taken", kind=PAGES)


def first_losses(
    cluster: Cluster, release: Release, namespace: str, kube_node: str
) -> dict[str, tuple[float, int]]:
    """By arm the loss of containers that start now, and the observations that it is of."""
    names = {"warm-1": CLASS, "warm-2": CLASS, "cold-1": STRANGERS[0], "cold-2": STRANGERS[1]}
    cluster.apply(*(learner(cluster, namespace, arm, name, kube_node) for arm, name in names.items()))
    ids = {arm: container_id(running_pod(cluster, namespace, arm), name) for arm, name in names.items()}
    return wait_for(lambda: losses(cluster, release.agent_on(kube_node), ids), "first looks at them", 300)


def losses(cluster: Cluster, agent: Manifest, ids: Mapping[str, str]) -> dict[str, tuple[float, int]] | None:
    """The same of these containers; None until each has been observed often enough, or the agent is busy."""
    pod = agent["metadata"]
    where = ("-n", pod["namespace"], pod["name"], "-c", "agent")
    try:
        printed = cluster.kube("exec", *where, "--", "python3", "-c", REPORT)
    except CommandError:
        return None
    by_id = {each["container_id"]: each for each in json.loads(printed)}
    found = {
        arm: (by_id[id_]["model_loss"], by_id[id_]["model_observations"])
        for arm, id_ in ids.items()
        if id_ in by_id
    }
    enough = len(found) == len(ids) and all(count >= OBSERVATIONS for _, count in found.values())
    return found if enough else None
