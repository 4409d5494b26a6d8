"""Metrics of what is learned beside the loop: the fleet's memory, and fits of Prophet.

In: nothing. Out: `LEARNING`, definitions for `metrics.DEFINITIONS`.
"""

from plimsoll_operator.serve.definition import SLOW_SECONDS, MetricDefinition, MetricKind

_C, _G, _H = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

LEARNING: tuple[MetricDefinition, ...] = (
    MetricDefinition(
        "plimsoll_memory_outcomes_total",
        _C,
        "outcomes",
        "What levels of the fleet's memory answered: hit, miss, stale (Redis was not asked), stored, taken, "
        "joined, confirmed, again (was lost and is sent again), error-slow ...",
        ("level", "outcome"),
    ),
    MetricDefinition(
        "plimsoll_memory_latency_seconds",
        _G,
        "seconds",
        "Within how long a level of the memory did what it was asked, since the start.",
        ("level", "operation", "quantile"),
    ),
    MetricDefinition(
        "plimsoll_memory_redis_away",
        _G,
        "0 or 1",
        "1 while the memory's Redis does not answer, or takes nothing; 0 where it has none.",
    ),
    MetricDefinition(
        "plimsoll_memory_waiting",
        _G,
        "records",
        "Records of the memory that Redis does not have, or has not been read back from yet.",
    ),
    MetricDefinition(
        "plimsoll_memory_unwritten_total",
        _C,
        "histories",
        "Histories that the memory did not take; profiles have them.",
    ),
    MetricDefinition(
        "plimsoll_memory_learning_off",
        _G,
        "0 or 1",
        "1 while `plimsoll memory learn --disable` is in force: nothing is remembered, learned or recorded.",
    ),
    MetricDefinition(
        "plimsoll_memory_learned_timestamp_seconds",
        _G,
        "seconds since 1970",
        "When the last hourly pass over the memory's histories ended, as the memory tells it.",
    ),
    MetricDefinition(
        "plimsoll_memory_learn_steps_total",
        _C,
        "steps",
        "Steps of those passes that this replica made, by outcome (done, failed).",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_memory_patterns_total",
        _C,
        "patterns",
        "Patterns that the leader made of histories, by outcome (changed, same, failed).",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_memory_incidents_total",
        _C,
        "incidents",
        "What went wrong and was told to the memory, by what it was and what came of it (recorded, joined, "
        "known, forgotten, unsound, off, dropped, failed).",
        ("what", "outcome"),
    ),
    MetricDefinition(
        "plimsoll_forecast_rows",
        _G,
        "containers",
        "Workloads' containers whose policy names Prophet, by state (Fitted, Waiting, TooShort, NoSeason, "
        "Failed, Unavailable); in all but the first, auto stands in.",
        ("state",),
    ),
    MetricDefinition(
        "plimsoll_forecast_queue_depth",
        _G,
        "fits",
        "Fits of Prophet that were asked for and are not done; the loop does not wait for them.",
    ),
    MetricDefinition(
        "plimsoll_forecast_fit_seconds",
        _H,
        "seconds",
        "Wall time of one fit of Prophet.",
        buckets=SLOW_SECONDS,
    ),
    MetricDefinition(
        "plimsoll_forecast_fits_total",
        _C,
        "fits",
        "Fits of Prophet, by outcome (fitted, failed).",
        ("outcome",),
    ),
    MetricDefinition(
        "plimsoll_forecast_workers_replaced_total",
        _C,
        "processes",
        "Forecast workers that died or took too long and were replaced.",
    ),
)
