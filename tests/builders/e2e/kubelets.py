"""What kind/cluster.yaml and kind/patches give to the kubelets, and how it differs from what one has.

In: the files that users are given, a kubelet's /configz. Out: settings by node; what was asked for and is not
so.
"""

import yaml

from builders.e2e.cluster import REPOSITORY, Cluster, Manifest

KIND = REPOSITORY / "kind"
PATCH = "kubeletconfiguration+strategic.yaml"  # kubeadm's target, and its way to merge


def cluster_file() -> Manifest:
    """kind/cluster.yaml."""
    read: Manifest = yaml.safe_load((KIND / "cluster.yaml").read_text())
    return read


def patch_of(name: str) -> Manifest:
    """A patch of kind/patches: swap or static."""
    read: Manifest = yaml.safe_load((KIND / "patches" / name / PATCH).read_text())
    return read


def given_to_kubelets(cluster: Cluster) -> dict[str, list[Manifest]]:
    """For each node of the API, the settings that it must have; {} for a cluster of somebody's own."""
    if cluster.provider == "vm":
        return {cluster.nodes[-1]: [patch_of("static")]}
    if cluster.provider != "kind":
        return {}
    there = {each["metadata"]["name"] for each in cluster.items("nodes")}
    given = given_by_kind(cluster.name, cluster_file())
    assert there <= given.keys(), f"nodes that kind/cluster.yaml does not know: {there - given.keys()}"
    return {name: given[name] for name in there}


def given_by_kind(cluster_name: str, made: Manifest) -> dict[str, list[Manifest]]:
    """By node as kind names them: the whole cluster's settings, then those of the directory mounted there."""
    documents = [yaml.safe_load(each) for each in made["kubeadmConfigPatches"]]
    everywhere = [each for each in documents if each.pop("kind") == "KubeletConfiguration"]
    given: dict[str, list[Manifest]] = {}
    counts: dict[str, int] = {}
    for node in made["nodes"]:
        role = node["role"]
        counts[role] = counts.get(role, 0) + 1
        number = counts[role] if counts[role] > 1 else ""
        mounted = [REPOSITORY / each["hostPath"] / PATCH for each in node.get("extraMounts", [])]
        own = [yaml.safe_load(path.read_text()) for path in mounted]
        given[f"{cluster_name}-{role}{number}"] = [*everywhere, *own]
    return given


def differing(kubelet: Manifest, patch: Manifest) -> Manifest:
    """Settings of a patch that a kubelet does not have, with what it has instead; maps are merged."""
    found: Manifest = {}
    for key, wanted in patch.items():
        has = kubelet.get(key)
        if isinstance(wanted, dict) and isinstance(has, dict):
            if within := differing(has, wanted):
                found[key] = within
        elif has != wanted:
            found[key] = has
    return found
