"""Small sandboxes for tests: a kubelet model with one container, an API with a namespace and a pod.

In: usage in MiB by bin. Out: real objects of the sandbox; nothing is mocked, time is what the test says.
"""

import numpy as np

from plimsoll_cli.sandbox.kubelet import KubeletModel, Resources

MIB = 2**20
KEY = "web"
NODE = "kube-node-0"


def mib(limit: float, request: float | None = None) -> Resources:
    """Resources in MiB; the request is the limit unless given."""
    return Resources(int((limit if request is None else request) * MIB), int(limit * MIB))


def kubelet_playing(usage_mib: list[float], limit: float, allocatable: float = 10_000) -> KubeletModel:
    """A kubelet whose one container uses `usage_mib`, one value a bin from bin 0."""
    model = KubeletModel({NODE: int(allocatable * MIB)}, seed=1)
    model.start(KEY, NODE, np.array(usage_mib, dtype=np.float64) * MIB, 0, mib(limit), 0.0)
    model.take_events()
    return model
