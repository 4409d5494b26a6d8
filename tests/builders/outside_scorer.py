"""A second scorer, written from the replay contract's text alone:
plain loops over rows, nothing of ours imported.
"""

from dataclasses import dataclass
from math import isnan
from statistics import median

import pyarrow.parquet as pq


@dataclass
class Outside:
    series: int
    ooms: int
    container_days: float
    slack: float
    changes_per_cd: float
    violations: list[str]


def read_bins(trace):
    """series_id → {bin: usage}, and each one's last bin."""
    table = pq.read_table(trace).to_pylist()
    first, last = {}, {}
    for row in table:
        s, t = row["series_id"], row["timestamp"]
        first[s], last[s] = min(first.get(s, t), t), max(last.get(s, t), t)
    bins = {s: {} for s in first}
    for row in table:
        s, maximum = row["series_id"], row.get("memory_max_bytes")
        usage = row["memory_bytes"] if maximum is None or isnan(maximum) else maximum
        if usage is None or isnan(usage):
            continue
        k = (row["timestamp"] - first[s] // 300 * 300) // 300
        bins[s][k] = max(bins[s].get(k, usage), usage)
    return bins, {s: (last[s] - first[s] // 300 * 300) // 300 for s in first}


def score_files(trace, limits, warmup_bins):
    bins, last = read_bins(trace)
    emitted, reasons = {}, {}
    violations = []
    for row in pq.read_table(limits).to_pylist():
        key = (row["series_id"], row["bin"])
        if key in emitted:
            violations.append(f"{key} twice")
        emitted[key], reasons[key] = row["limit_bytes"], row["reason"]
    wanted = {(s, k) for s in bins for k in range(warmup_bins, last[s] + 1)}
    violations += [f"{key} missing or surplus" for key in wanted ^ emitted.keys()]
    violations += [f"{key} unusable" for key, limit in emitted.items() if not 0 < limit < float("inf")]
    series = ooms = present = changes = 0
    slack = []
    for s, usage in bins.items():
        violations += broken_rules(s, usage, emitted, reasons)
        if len(usage) < warmup_bins + 12 or median(usage.values()) < 16 * 2**20:
            continue
        series += 1
        reference = None
        for k in sorted(k for k in usage if k >= warmup_bins):
            limit = emitted[s, k]
            present += 1
            if usage[k] > limit:
                ooms += 1
            else:
                slack.append((limit - usage[k]) / limit)
            if reference is None:
                reference = limit
            elif abs(limit - reference) > 0.01 * reference:
                reference, changes = limit, changes + 1
    days = present / 288
    return Outside(series, ooms, days, sum(slack) / len(slack), changes / days, violations)


def broken_rules(s, usage, emitted, reasons):
    broken = []
    for k, used in usage.items():
        limit = emitted.get((s, k))
        if limit is None or used <= limit:
            continue
        raised = max(1.2 * limit, limit + 100 * 2**20)
        for later in range(k + 1, k + 289):
            if emitted.get((s, later), raised) >= raised:
                continue
            if later // 12 == k // 12 or not reasons[s, later]:
                broken.append(f"{s} bin {later} below R of the OOM in {k}")
    return broken
