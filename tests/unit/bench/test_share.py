"""The first-hour bench: two containers of one image out of one recording, starts that come over the wire."""

import numpy as np
import pytest

from builders.benches import bench_modules
from builders.pagetraces import mixed_trace, write_pages
from plimsoll.pages.survival import SurvivalModel, prior_hazard
from plimsoll.store.shared_kinds import KINDS_SHARED, PAGES, REUSE, page_prior


@pytest.fixture(scope="module")
def share():
    return bench_modules(main="share").main


@pytest.fixture(scope="module")
def view(share, tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "mixed.pgt"
    write_pages(path, mixed_trace(7, 40_000, 2000))
    return path, share.view_of(path, 1.0)


def test_two_containers_of_an_image_share_an_hour_or_their_pages_and_never_both(share, view):
    path, whole = view
    later, *halves = share.pairs_of(path, whole, 2)
    assert (later.one.epochs, later.other.epochs) == (share.LOOKS, share.LOOKS)
    assert len(halves) == 2
    for each in halves:
        assert not set(each.one.page) & set(each.other.page)
        assert each.one.footprint_pages + each.other.footprint_pages <= whole.footprint_pages
    assert set(halves[0].one.page) != set(halves[1].one.page)
    blocks = share.blocks(later.one)
    assert set(blocks.page) == {int(page) >> 4 for page in later.one.page}
    assert blocks.accessed.any(axis=0).all()


def test_what_is_touched_again_is_a_refault_and_what_is_out_is_counted(share, view):
    _, whole = view
    hot = SurvivalModel(prior=np.full_like(prior_hazard(), 1.0))
    cold = SurvivalModel(prior=np.full_like(prior_hazard(), 1e-7))
    hour = share.part(whole, slice(0, share.LOOKS))
    first = {name: next(iter(share.loop(hour, each))) for name, each in (("hot", hot), ("cold", cold))}
    assert first["hot"].out == first["cold"].out == 0, "nothing is idle in the first look"
    looks = list(share.loop(hour, SurvivalModel(prior=np.full_like(prior_hazard(), 1e-7))))
    assert sum(each.refaults for each in looks) > 0
    assert max(each.out for each in looks) <= hour.footprint_pages


@pytest.mark.parametrize("kind", [PAGES, REUSE])
def test_every_arm_runs_its_hour_and_cold_is_what_ships(share, view, kind):
    path, whole = view
    pair = next(iter(share.pairs_of(path, whole, 0)))
    learn, run = {
        PAGES: (share.learned_pages, share.pages_hour),
        REUSE: (share.learned_reuse, share.reuse_hour),
    }[kind]
    cold = run(pair, share.COLD, None)
    same = run(pair, share.SAME, learn(pair.one))
    ships = run(pair, share.UNGUARDED, KINDS_SHARED[kind].ships())
    assert (ships.refaults, ships.out) == (cold.refaults, cold.out)
    assert ships.loss == pytest.approx(cold.loss, rel=1e-4)
    assert same.loss != pytest.approx(cold.loss, rel=1e-3)
    rows = {
        row.name: row
        for row in share.rows_of([cold, same, _as(share, same, share.OTHER), *_other(share, kind)])
    }
    assert rows[f"share.{kind}.loss"].value == pytest.approx(same.loss / cold.loss, rel=1e-6)


def test_a_lie_is_let_go_by_the_guard(share, view):
    path, whole = view
    pair = next(iter(share.pairs_of(path, whole, 0)))
    lie = np.full_like(page_prior(), np.log(1e-7))
    guarded = share.pages_hour(pair, share.OTHER, lie)
    unguarded = share.pages_hour(pair, share.UNGUARDED, lie)
    assert guarded.refused
    assert not unguarded.refused


def _as(share, hour, arm):
    return share.Hour(**{**share.asdict(hour), "arm": arm})


def _other(share, kind):
    """The other kind's rows, so that both have some."""
    other = REUSE if kind == PAGES else PAGES
    return [
        share.Hour("mixed", "earlier to later", other, arm, 1, 2, 1.0, 1.0, refused=False)
        for arm in (share.COLD, share.SAME, share.OTHER)
    ]
