"""Search by words, spelling and meaning, on a small memory."""

import pytest

from plimsoll.store.search import search, words_of

MEMORY = {
    "pattern demo/Deployment/checkout:app": "growth usage over 9.0 days, peak 734003200 bytes",
    "pattern demo/Deployment/frontend:app": "diurnal usage over 21.0 days, peak 268435456 bytes",
    "pattern demo/StatefulSet/redis:redis": "flat usage over 14.0 days, peak 1073741824 bytes, 3 OOM kills",
    "pattern batch/CronJob/report:job": "batch usage over 28.0 days, peak 52428800 bytes",
    "incident demo/Deployment/checkout": "killed twice after the release, memory leaking since",
    "incident demo/StatefulSet/redis": "killed at night, limit too low",
    "history demo/Deployment/postgres:db": "postgres Deployment db",
}


@pytest.mark.parametrize(("query", "first", "how"), [
    ("checkout release", "incident demo/Deployment/checkout", "words"),
    ("frontedn", "pattern demo/Deployment/frontend:app", "spelling"),
    ("postgresq", "history demo/Deployment/postgres:db", "spelling"),
    ("cronjob", "pattern batch/CronJob/report:job", "words"),
    ("daily", "pattern demo/Deployment/frontend:app", "meaning"),
])  # fmt: skip
def test_the_best_comes_first(query, first, how):
    hit, *_ = search(query, MEMORY)
    assert (hit.name, hit.how) == (first, how)


def test_words_of_one_meaning_find_each_other():
    names = {hit.name for hit in search("crash", MEMORY)}
    assert {"incident demo/Deployment/checkout", "incident demo/StatefulSet/redis"} <= names
    assert "pattern batch/CronJob/report:job" not in names


@pytest.mark.parametrize("query", ["", "---", "zzzzqq"])
def test_nothing_is_found_for_nothing(query):
    assert search(query, MEMORY) == []
    assert search("redis", {}) == []


def test_only_so_many_are_told_and_scores_fall():
    hits = search("usage", MEMORY, most=3)
    assert len(hits) == 3
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 < hit.score <= 1 for hit in hits)


def test_the_answer_does_not_depend_on_the_order():
    backwards = dict(reversed(MEMORY.items()))
    assert search("killed redis", MEMORY) == search("killed redis", backwards)


def test_names_are_taken_apart():
    assert words_of("demo/Deployment/Web-1:app") == ["demo", "deployment", "web", "1", "app"]
