"""The bench of `limits.basis: needed` has the operator's search in it."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def basis():
    sys.path.append(str(ROOT / "bench"))
    try:
        import basis
    finally:
        sys.path.remove(str(ROOT / "bench"))
    return basis


def lived(basis, minutes):
    """A service over files that are seldom asked for, by the minute: what its history was told, its limit."""
    model = basis.ContainerModel(
        basis.LOADS["catalogue"](), basis.BLOCKS, swap_blocks=0, file_ratio=basis.FILE_RATIO
    )
    life = basis.Life(model, needed=True, reclaims=True)
    found = []
    for _ in range(minutes):
        for second in range(60):
            life.second()
            if second % basis.LOOK_SECONDS == 0:
                life.look()
        life.tell()
        told = float(life.history.five_minute(basis.ROW, 1)[0, 0])
        found.append((told / life.usage, life.limit_bytes, life.seeks))
    return found


def test_files_that_were_not_tried_yet_count_neither_up_nor_down_until_it_suffers(basis):
    found = lived(basis, 20)
    suffers = next(minute for minute, (told, _, _) in enumerate(found) if told > 0.9)
    assert suffers >= 5  # without the search all counted from the first minute
    assert max(told for told, _, _ in found[:suffers]) < 0.3
    assert len({limit for _, limit, _ in found[:suffers]}) == 1
    assert all(seeks for _, _, seeks in found[:suffers])
    assert not found[-1][2]  # and the search is over


def test_usage_alone_seeks_nothing(basis):
    model = basis.ContainerModel(basis.LOADS["thrashing"](), basis.BLOCKS, swap_blocks=0)
    assert not basis.Life(model, needed=False, reclaims=True).seeks
