"""A small cluster for tests of the operator: a namespace, a kube node, a workload's pods, a policy.

In: keywords. Out: raw dicts as an API server holds them. Pods run on `n1`, use `app` as their container's
name, and are Burstable with limit 1 GiB and request 512 MiB unless said otherwise.
"""

from datetime import UTC, datetime

NOW = 1_800_000_000.0
MIB = 2**20
GIB = 2**30


def stamp(seconds):
    """RFC 3339 of Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def owner(kind="StatefulSet", name="web", api_version="apps/v1"):
    """A controlling owner reference."""
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}


def resources(limit="1Gi", request="512Mi"):
    """Memory resources; None leaves one out."""
    pairs = (("limits", limit), ("requests", request))
    return {kind: {"memory": value} for kind, value in pairs if value is not None}


def raw_pod(name="web-0", namespace="shop", limit="1Gi", request="512Mi", **fields):
    """A running pod.

    `owner`, `labels`, `node`, `phase`, `qos`, `oom_at`, `restarts`, `started_at`, `conditions`, `uid`,
    `image`.
    """
    values = resources(limit, request)
    status = {
        "name": "app",
        "restartCount": fields.get("restarts", 0),
        "containerID": f"containerd://{name}-{fields.get('restarts', 0)}",
        "state": {"running": {"startedAt": stamp(fields.get("started_at", NOW - 7200))}},
        "resources": values,
    }
    if "oom_at" in fields:
        ended = {
            "reason": "OOMKilled",
            "exitCode": 137,
            "finishedAt": stamp(fields["oom_at"]),
            "containerID": "c",
        }
        status["lastState"] = {"terminated": ended}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": fields.get("uid", f"uid-{name}"),
            "labels": fields.get("labels", {"app": "web"}),
            "ownerReferences": [fields["owner"]] if fields.get("owner", True) is not True else [owner()],
        },
        "spec": {
            "nodeName": fields.get("node", "n1"),
            "containers": [
                {"name": "app", "image": fields.get("image", "x"), "resources": resources(limit, request)}
            ],
        },
        "status": {
            "phase": fields.get("phase", "Running"),
            "qosClass": fields.get("qos", "Burstable"),
            "conditions": [{"type": "Ready", "status": "True"}, *fields.get("conditions", ())],
            "containerStatuses": [status],
        },
    }


def resize_condition(kind, reason, message="", since=NOW):
    """`PodResizePending` or `PodResizeInProgress`."""
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp(since),
    }


def raw_policy(name="web", namespace="shop", mode="InPlace", **spec):
    """A MemoryPolicy for pods labelled app=web, unless the spec says otherwise."""
    target = (
        {} if "targetRef" in spec or "selector" in spec else {"selector": {"matchLabels": {"app": "web"}}}
    )
    return {
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "MemoryPolicy",
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {"mode": mode, **target, **spec},
    }


def raw_kube_node(name="n1", memory="64Gi", labels=None, swap=None):
    """A kube node."""
    info = {"swap": {"capacity": swap}} if swap is not None else {}
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "status": {"allocatable": {"memory": memory}, "capacity": {"memory": memory}, "nodeInfo": info},
    }


def furnish(api, *pods, policy=None):
    """Fill an empty `MemoryApi` with a namespace, a kube node, a policy and pods."""
    api.put("namespaces", {"metadata": {"name": "shop"}})
    api.put("nodes", raw_kube_node())
    api.put("memorypolicies", policy or raw_policy())
    for each in pods or (raw_pod(),):
        api.put("pods", each)
    return api
