"""The fewest nodes there can be, exactly, on small cases: the yardstick of the heuristic.

In: loads without spread (what each pod takes in each hour, for certain), one capacity. Out: the optimum,
and whether it is proven. With spread the need of a sum is no sum of needs, so the yardstick judges the
combinatorial part alone; how well the bound is kept is judged by what was recorded.

Source: vector bin packing as an integer programme with assignment variables and symmetry broken by numbering
nodes by their first pod (Martello and Toth 1990, chapter 8), solved by HiGHS through SciPy's `milp`.
"""

from dataclasses import dataclass

import numpy as np

from plimsoll.placement.lanes import FloatArray


@dataclass(frozen=True, slots=True)
class Optimum:
    """What the solver found."""

    nodes: int  # of the best packing it has
    least_nodes: int  # no packing has fewer

    @property
    def proven(self) -> bool:
        """Whether the best is known to be best."""
        return self.nodes == self.least_nodes


def fewest_nodes(
    load_bytes: FloatArray, capacity_bytes: float, most_nodes: int, seconds: float = 20.0
) -> Optimum:
    """The optimum of pods [n, lanes] on at most `most_nodes` nodes (a packing with so many is known).

    Needs SciPy (the extra `forecast`). Raises ValueError where not even so many nodes do.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415
    from scipy.sparse import coo_array  # noqa: PLC0415

    n, lanes = load_bytes.shape
    order = np.argsort(-load_bytes.max(axis=1), kind="stable")
    load = load_bytes[order] / capacity_bytes
    floor = int(np.ceil(load.sum(axis=0).max() - 1e-9))
    if floor >= most_nodes:
        return Optimum(most_nodes, most_nodes)
    m = most_nodes
    # x[i, j] at i * m + j: pod i on node j; y[j] at n * m + j: node j is used. Pod i may use nodes 0..i only.
    assign = coo_array((np.ones(n * m), (np.repeat(np.arange(n), m), np.arange(n * m))), shape=(n, n * m + m))
    rows, columns, values = [], [], []
    for lane in range(lanes):
        for j in range(m):
            row = lane * m + j
            rows += [row] * (n + 1)
            columns += [i * m + j for i in range(n)] + [n * m + j]
            values += [*load[:, lane].tolist(), -1.0]
    fits = coo_array((values, (rows, columns)), shape=(lanes * m, n * m + m))
    ladder = coo_array(
        (
            np.concatenate([np.ones(m - 1), -np.ones(m - 1)]),
            (
                np.concatenate([np.arange(m - 1), np.arange(m - 1)]),
                np.concatenate([n * m + np.arange(m - 1), n * m + 1 + np.arange(m - 1)]),
            ),
        ),
        shape=(m - 1, n * m + m),
    )
    upper = np.ones(n * m + m)
    for i in range(min(n, m)):
        upper[i * m + i + 1 : (i + 1) * m] = 0.0
    found = milp(
        c=np.concatenate([np.zeros(n * m), np.ones(m)]),
        constraints=[
            LinearConstraint(assign, 1.0, 1.0),
            LinearConstraint(fits, -np.inf, 0.0),
            LinearConstraint(ladder, 0.0, np.inf),
        ],
        integrality=np.ones(n * m + m),
        bounds=Bounds(0.0, upper),
        options={"time_limit": seconds},
    )
    if found.status == 2:
        raise ValueError(f"{n} pods do not fit {m} nodes")
    bound = found.mip_dual_bound
    least = floor if bound is None else max(floor, int(np.ceil(bound - 1e-6)))
    best = m if found.x is None else round(found.fun)
    return Optimum(best, min(least, best))
