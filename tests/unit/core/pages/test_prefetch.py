"""Prefetch is earned: by what returns together, and not by what returns at random."""

import numpy as np

from builders.epochviews import program, view_of
from plimsoll.pages.epochs import EpochBits
from plimsoll.pages.idle import HeldTo
from plimsoll.pages.prefetch import EarnedPrefetch
from plimsoll.replay.epochs import replay_epochs
from plimsoll.replay.epochs_score import score_epochs, violations


def sweep(epochs=400, pages=400, step=10):
    """A front that goes through memory again and again, beside a hot tenth."""
    accessed = np.zeros((epochs, pages), np.bool_)
    accessed[:, : pages // 10] = True
    for epoch in range(epochs):
        begin = (epoch * step) % pages
        accessed[epoch, begin : begin + step] = True
    return view_of(accessed)


def scored(view, prefetcher):
    replay = replay_epochs(view, HeldTo(view.footprint_pages, view.footprint_pages // 2), prefetcher)
    assert violations(view, replay) == []
    return score_epochs(view, replay)


def test_a_front_is_seen_coming() -> None:
    view = sweep()
    without, beside = scored(view, None), scored(view, EarnedPrefetch(view.page))
    assert beside.coverage > 0.8
    assert beside.io_ratio < 1.1
    assert beside.refaults < 0.3 * without.refaults


def test_random_returns_earn_nothing() -> None:
    rng = np.random.default_rng(5)
    accessed = rng.random((300, 400)) < 0.01
    accessed[0] = True
    score = scored(view_of(accessed), EarnedPrefetch(np.arange(400, dtype=np.uint32)))
    assert score.refaults > 500
    assert score.prefetched < 0.02 * score.refaults


def test_never_costs_much_more_than_is_needed() -> None:
    for seed in range(5):
        view = program(seed)
        assert scored(view, EarnedPrefetch(view.page)).io_ratio < 1.5


def test_a_missing_or_empty_epoch_holds() -> None:
    prefetcher = EarnedPrefetch(np.arange(4, dtype=np.uint32))
    nothing = np.zeros(4, np.bool_)
    assert not len(prefetcher.step(None, ~nothing))
    assert not len(prefetcher.step(EpochBits(nothing, nothing, nothing), ~nothing))


def test_later_epochs_change_nothing_earlier() -> None:
    view = sweep(200)
    accessed = view.accessed.copy()
    accessed[150:] = np.random.default_rng(1).random(accessed[150:].shape) < 0.2
    first, second = (
        replay_epochs(v, HeldTo(400, 200), EarnedPrefetch(v.page)) for v in (view, view_of(accessed))
    )
    assert len(first.prefetch_at[first.prefetch_epoch < 150])
    for one, other in (
        (first.prefetch_at[first.prefetch_epoch < 150], second.prefetch_at[second.prefetch_epoch < 150]),
        (first.at[first.epoch < 150], second.at[second.epoch < 150]),
    ):
        assert one.tolist() == other.tolist()


def test_pages_that_come_and_go_leave_the_gate_as_it_was_learned() -> None:
    rng = np.random.default_rng(5)
    page = np.arange(400, dtype=np.int64)
    plain, moved = EarnedPrefetch(page), EarnedPrefetch(page)
    out = np.zeros(400, np.bool_)
    for epoch in range(60):
        accessed = np.zeros(400, np.bool_)
        begin = 40 * (epoch % 10)
        accessed[begin : begin + 40] = rng.random(40) < 0.9
        out = (np.arange(400) // 40 - epoch) % 10 > 5
        bits = EpochBits(accessed, accessed, ~out)
        if epoch == 30:  # far above all others, so that they are nobody's neighbours
            moved.follow(np.append(page, 10_000 + page), np.zeros(800, np.bool_))
        if epoch == 45:
            moved.follow(page, np.zeros(400, np.bool_))
        if 30 <= epoch < 45:
            none = np.zeros(400, np.bool_)
            wide = EpochBits(*(np.append(each, none) for each in (accessed, accessed, ~out)))
            assert moved.step(wide, np.append(out, none)).tolist() == plain.step(bits, out).tolist()
        else:
            assert moved.step(bits, out).tolist() == plain.step(bits, out).tolist()


def test_what_is_kept_is_bounded_by_the_pages_however_long_it_runs() -> None:
    """It had kept a share for each epoch that ever was: 24 MiB and 45 ms a look after a year."""
    gate, nothing, kept = EarnedPrefetch(np.arange(20)), np.zeros(20, np.bool_), set()
    for epoch in range(300):
        accessed = np.zeros(20, np.bool_)
        accessed[epoch % 20] = True
        gate.step(EpochBits(accessed, nothing, ~nothing), nothing)
        kept.add(len(gate._stirred_share.epochs))
    assert max(kept) <= 20
