"""Advice as rows: plain numbers for programs, `now -> recommended` for people, and a line of sums.

In: advice. Out: dicts for `output.print_rows`. Bytes carry their unit in the key's name; what is not known is
None, never NaN.
"""

from collections import Counter
from collections.abc import Sequence

from plimsoll_cli.advice.judge import Advice, Severity
from plimsoll_cli.amounts import short, signed

Row = dict[str, object]
ORDER = tuple(Severity)  # what deserves the eye first stands first


def program_row(advice: Advice) -> Row:
    """One row of JSON, YAML or CSV."""
    subject = advice.subject
    workload = subject.key.workload
    return {
        "namespace": workload.namespace,
        "kind": workload.kind,
        "name": workload.name,
        "node_class": subject.key.node_class or None,
        "container": subject.key.container or None,
        "pods": len(subject.pods) or None,
        "usage_bytes": advice.seen.usage_bytes,
        "peak_bytes": advice.seen.peak_bytes,
        "history_hours": advice.seen.hours,
        "oom_kills": advice.seen.ooms,
        "request_bytes": subject.request_bytes,
        "limit_bytes": subject.limit_bytes,
        "recommended_request_bytes": advice.request_bytes,
        "recommended_limit_bytes": advice.limit_bytes,
        "lower_bytes": advice.lower_bytes,
        "upper_bytes": advice.upper_bytes,
        "difference_bytes": advice.change_bytes,
        "slack_saved_bytes": advice.slack_saved_bytes,
        "severity": advice.severity.value,
        "why": advice.why,
    }


def table_rows(advice: Sequence[Advice]) -> list[Row]:
    """The rows of a table, the most severe first; columns that say nothing anywhere are left out."""
    ordered = sorted(advice, key=lambda each: (ORDER.index(each.severity), each.subject.key))
    rows = [_table_row(each) for each in ordered]
    empty = [name for name in rows[0] if all(row[name] in ("", None) for row in rows)] if rows else []
    return [{name: value for name, value in row.items() if name not in empty} for row in rows]


def sums(advice: Sequence[Advice]) -> str:
    """One line: how many of what, and what all limits together are and would be."""
    counts = Counter(each.severity for each in advice)
    words = ", ".join(f"{counts[severity]} {severity.value}" for severity in ORDER if counts[severity])
    line = f"{len(advice)} {'container' if len(advice) == 1 else 'containers'}: {words}."
    known = [each for each in advice if each.slack_saved_bytes is not None]
    if known:
        now = sum((each.subject.limit_bytes or 0) * max(len(each.subject.pods), 1) for each in known)
        saved = sum(each.slack_saved_bytes or 0 for each in known)
        change = (
            f"{short(saved)} of slack saved" if saved >= 0 else f"{short(-saved)} more, to prevent OOM kills"
        )
        line += f" Limits of {len(known)} of them: {short(now)} -> {short(now - saved)}, {change}."
    return line


def _table_row(advice: Advice) -> Row:
    subject = advice.subject
    node_class = f"@{subject.key.node_class}" if subject.key.node_class else ""
    return {
        "workload": f"{subject.key.workload}{node_class}",
        "container": subject.key.container,
        "pods": len(subject.pods) or None,
        "usage": None if advice.seen.usage_bytes is None else short(advice.seen.usage_bytes),
        "request": _moved(subject.request_bytes, advice.request_bytes, bool(subject.pods)),
        "limit": _moved(subject.limit_bytes, advice.limit_bytes, bool(subject.pods)),
        "difference": signed(advice.change_bytes),
        "slack_saved": signed(advice.slack_saved_bytes),
        "severity": advice.severity.value,
        "why": advice.why,
    }


def _moved(now: int | None, then: int | None, recorded: bool) -> str:  # noqa: FBT001 - a private helper
    """Return `now -> then`; a trace has no now."""
    wanted = "?" if then is None else short(then)
    return f"{short(now)} -> {wanted}" if recorded or now is not None else wanted
