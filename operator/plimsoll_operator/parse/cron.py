"""CronJobs, as far as their starts and their pods' needs go.

In: raw CronJobs. Out: records; None where nothing can be prepared: suspended, no pods, or pods of which it is
in doubt where they may go.
"""

from plimsoll_operator.parse.needs import DoubtError, needs_of
from plimsoll_operator.parse.pods import labels, specs
from plimsoll_operator.parse.scalars import Raw, part
from plimsoll_operator.records import CronJobRecord

MOST_PODS = 64  # of one run that room is kept for


def cron_job(raw: Raw) -> CronJobRecord | None:
    """A CronJob's record."""
    meta, spec = part(raw, "metadata"), part(raw, "spec")
    job = part(part(spec, "jobTemplate"), "spec")
    template = part(job, "template")
    pods = _pods(job)
    if spec.get("suspend") is True or not pods:
        return None
    try:
        needs = needs_of(template, {})
    except DoubtError:
        return None
    return CronJobRecord(
        str(meta.get("namespace", "")),
        str(meta.get("name", "")),
        str(spec.get("schedule") or ""),
        str(spec.get("timeZone") or ""),
        pods,
        labels(part(template, "metadata")),
        specs(part(template, "spec")),
        needs,
    )


def _pods(job: Raw) -> int:
    """How many run at the same time; 0 where it is not said in numbers."""
    wanted = [job.get("parallelism", 1), job.get("completions")]
    numbers = [each for each in wanted if isinstance(each, int) and not isinstance(each, bool)]
    if len(numbers) < sum(each is not None for each in wanted):
        return 0
    return max(0, min(MOST_PODS, *numbers))
