"""The table of prices: each series is decided by the model of its own fold, whoever works the replays off."""

import hashlib
import json

import lightgbm
import numpy as np
import pytest

from builders.benches import bench_modules
from plimsoll.forecast.seasonal import SeasonalPeak
from plimsoll.forecast.windowed import WindowedPeak
from plimsoll.replay.series import batch_of
from plimsoll_cli.traces.engine import Engine

MIB = 2**20


@pytest.fixture(scope="module")
def bench():
    """The script as `make train` has it."""
    return bench_modules(main="train_prior").main


@pytest.fixture(scope="module")
def batch():
    random = np.random.default_rng(3)
    usage = {f"gentd-{i}": 100 * MIB * (1 + random.uniform(0, 0.3, 330)) for i in range(4)}
    return batch_of("alibaba_gentd26_pod", usage)


def folds(bench, batch):
    groups = [bench.group_of(name) for name in batch.series_ids]
    return [(frozenset(groups[:2]), WindowedPeak()), (frozenset(groups[2:]), SeasonalPeak())]


def test_every_series_is_replayed_once_a_price_by_the_model_of_its_fold(bench, batch):
    tasks = [task for fold in folds(bench, batch) for task in bench.replays([batch], *fold, 2.0)]
    seen = {name: task.make(task.batch) for task in tasks for name in task.batch.series_ids}
    assert set(seen) == set(batch.series_ids)
    models = [seen[name].model.name for name in batch.series_ids]
    assert models == ["windowed", "windowed", "seasonal", "seasonal"]
    assert {each.settings.oom_price for each in seen.values()} == {2.0}


def test_the_table_is_in_the_order_of_its_prices(bench, batch, monkeypatch):
    monkeypatch.setattr(bench, "PRICES", (0.05, 30.0))

    def worked(tasks):
        return bench.worked_off(tasks, Engine.PROCESSES, 1)

    table = bench.priced([batch], folds(bench, batch), worked)
    assert table["oom_price"] == [0.05, 30.0]
    slack, kills = table["measured_slack"], table["measured_oom_per_1000_cd"]
    assert slack[0] < slack[1]
    assert kills[0] >= kills[1]


def test_weights_say_what_they_were_made_with(bench, batch, tmp_path):
    (tmp_path / "alibaba_gentd26_pod.parquet").write_bytes(b"recorded")
    rows = bench.rows_of([batch], (0,))
    material = bench.Material(rows, rows, rows)
    facts = bench.provenance([batch], frozenset(), material, tmp_path)
    assert facts["commit"] == bench.commit()
    assert facts["versions"] == {"LightGBM": lightgbm.__version__, "numpy": np.__version__}
    recorded = hashlib.sha256(b"recorded").hexdigest()
    assert facts["data"] == {"alibaba_gentd26_pod.parquet": recorded[:16]}
    assert facts["rows"] == 3 * len(rows.need)
    json.dumps(facts)
