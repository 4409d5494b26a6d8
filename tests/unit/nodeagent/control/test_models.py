"""What was learned, over a restart: kept whole, read with a checksum, and only as far as it makes sense."""

import base64
import json

import numpy as np
import pytest

from builders.agents import AgentOn
from builders.cgroup_tree import CgroupTree
from builders.watched_agents import looked, watched
from plimsoll.pages.control_bandit import Episode, SafeBandit
from plimsoll.pages.reuse_model import export_model
from plimsoll.pages.reuse_predictor import ReusePredictor
from plimsoll.pages.survival import SurvivalModel
from plimsoll.pressure.bank import LEARNED
from plimsoll_nodeagent.control.models import Learnt, Models, ModelStore, checksum, read
from plimsoll_nodeagent.main import main

NOW = 1_700_000_000.0


def learnt() -> Learnt:
    survival, bandit, tables = SurvivalModel(), SafeBandit(), ReusePredictor()
    survival.observations = 3
    bandit.learn("web", Episode(0, 0.1, violated=False))
    tables.tables[5] += 2.0
    tables.samples = 700
    return Learnt({"web": survival}, {"web": tables}, bandit.as_plain(), {"web": np.full(LEARNED, 0.25)})


def altered(path, change) -> None:
    """Change a file and seal it anew, as a foreign hand would."""
    document = json.loads(path.read_text())
    del document["sha256"]
    change(document)
    path.write_text(json.dumps(document | {"sha256": checksum(document)}))


def test_all_that_was_learned_comes_back(tmp_path):
    made = ModelStore(tmp_path).save(learnt(), NOW)
    found = ModelStore(tmp_path).load()
    assert (found.version, found.checksum) == (1, made.checksum)
    assert found.bandit().records["web"][0].episodes == 1.0
    assert found.tables_of("web").samples == 700
    tables, before = found.tables_of("web").tables, ReusePredictor().tables
    assert tables[5] - tables[4] == pytest.approx(before[5] - before[4] + 2.0, abs=0.2)
    assert found.pressure["web"].tolist() == [0.25] * LEARNED


def test_every_container_gets_tables_of_its_own(tmp_path):
    found = ModelStore(tmp_path).save(learnt(), NOW)
    one = found.tables_of("web")
    one.tables[:] = 0.0
    assert found.tables_of("web").tables.any()
    assert found.tables_of("unheard of") is None


def test_nothing_kept_is_what_is_built_in():
    assert Models().bandit().records == {}
    assert Models().tables_of("web") is None
    assert Models().pressure == {}


@pytest.mark.parametrize("older", [1, 2])
def test_files_of_an_older_format_are_not_used_and_said_once(tmp_path, caplog, older: int):
    store = ModelStore(tmp_path)
    for seconds in (NOW, NOW + 600):
        store.save(learnt(), seconds)
    for path in tmp_path.glob("*.json"):
        altered(path, lambda document: document.update(format=older))
    caplog.clear()
    assert store.load() == Models()
    assert len(store.refused) == len(caplog.records) == 1
    assert "reclaim as returns" in store.refused[0].why
    made = store.save(learnt(), NOW + 1200)
    assert made.version == 3
    assert store.load().checksum == made.checksum
    newest = max(tmp_path.glob("*.json"))
    altered(newest, lambda document: document.update(format=4))
    with pytest.raises(ValueError, match="of format 4"):
        read(newest)


@pytest.mark.parametrize("how", ["bit", "cut", "empty", "foreign", "nothing", "number", "deep", "missing"])
def test_a_damaged_file_gives_way_to_the_version_before_it(tmp_path, how: str):
    store = ModelStore(tmp_path)
    store.save(learnt(), NOW)
    store.save(learnt(), NOW + 600)
    newest = max(tmp_path.glob("*.json"))
    text = newest.read_text()
    damage = {
        "bit": text.replace("700", "701").replace('"reuse": {"web": "UEx', '"reuse": {"web": "UEy'),
        "cut": text[: len(text) // 2],
        "empty": "",
        "foreign": "[]",
        "nothing": "null",
        "number": "5",
        "deep": "[" * 100_000,
        "missing": text,
    }
    newest.write_text(damage[how])
    if how == "missing":
        newest.unlink()
    assert store.load().version == 1
    assert len(store.refused) == (how != "missing")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reuse", base64.b64encode(export_model(ReusePredictor())[:-1]).decode()),
        ("reuse", "no base64!"),
        ("bandit", [[1, 2]]),
        ("bandit", [[0, 5, float("nan")]] * 4),
        ("pressure", [1.0, 2.0]),
        ("pressure", [float("inf")] * LEARNED),
    ],
)
def test_one_table_that_makes_no_sense_is_left_out_alone(tmp_path, name: str, value: object):
    ModelStore(tmp_path).save(learnt(), NOW)
    (path,) = tmp_path.glob("*.json")
    altered(path, lambda document: document[name].update(bad=value))
    found = ModelStore(tmp_path).load()
    assert found.version == 1
    assert set(found.bandit().records) == {"web"}
    assert set(found.reuse) == {"web"}
    assert set(found.pressure) == {"web"}


def test_a_restarted_agent_goes_on_where_it_stopped(tmp_path):
    agent = watched(tmp_path)
    looked(agent, 20)
    agent.tick(120)  # an episode, and the minutes after it
    (before,) = agent.made.agent.reclaimer.controlled.values()
    name, samples = before.workload_class, before.addresses.predictor.samples
    episodes = agent.made.agent.reclaimer.bandit.records[name][0].episodes
    assert samples > 0
    assert episodes > 0
    agent.made.save_models(agent.now, at_once=True)
    agent.made.agent.close()
    agent.start()
    assert agent.made.agent.reclaimer.bandit.records[name][0].episodes == episodes
    report = agent.tick(1)
    (after,) = agent.made.agent.reclaimer.controlled.values()
    assert after.addresses.predictor.samples == samples
    assert report.models_version == 1
    said = agent.made.calls()
    assert said["models"]({})["reuse_classes"] == [name]
    assert said["report"]({})["models_version"] == 1


def test_a_class_without_a_container_now_is_not_forgotten(tmp_path):
    store = ModelStore(tmp_path / "state/models")
    store.save(learnt(), NOW)
    agent = AgentOn(tmp_path)
    agent.tick(5)
    agent.made.save_models(agent.now, at_once=True)
    found = store.load()
    assert found.version == 2
    assert "web" in found.tables
    assert "web" in found.reuse
    assert "web" in found.pressure
    assert "web" in found.bandit().records


def test_what_pressure_scopes_learned_is_where_they_begin(tmp_path):
    agent = AgentOn(tmp_path)
    agent.tick(2)
    forecasts = agent.made.agent.pressing.forecasts
    learned = forecasts.learned()
    assert "scope kube_node" in learned
    row = learned["scope kube_node"].copy()
    row[0] = 1.5
    taught = type(forecasts)({"scope kube_node": row})
    taught.see(dict(forecasts._readings), agent.now)
    assert taught.learned()["scope kube_node"][0] == 1.5


def test_what_cannot_have_been_learned_of_pressure_is_refused_and_logged(tmp_path, caplog):
    agent = AgentOn(tmp_path)
    agent.tick(2)
    forecasts = agent.made.agent.pressing.forecasts
    taught = type(forecasts)({"scope kube_node": np.full(LEARNED, -1e6)})
    taught.see(dict(forecasts._readings), agent.now)
    assert "is refused" in caplog.text
    assert (taught.learned()["scope kube_node"] > -1e5).all()


def test_status_tells_the_version_that_is_trusted(tmp_path, capsys):
    tree = CgroupTree(tmp_path)
    tree.container()
    state = tmp_path / "state"
    words = ["status", "--root", str(tmp_path), "--state-dir", str(state)]
    assert main(words) == 0
    assert "models: none kept here" in capsys.readouterr().out
    store = ModelStore(state / "models")
    store.save(learnt(), NOW)
    made = store.save(learnt(), NOW + 600)
    assert main(words) == 0
    assert f"models: version 2 (sha256 {made.checksum[:16]}): hazards of 1 classes" in capsys.readouterr().out
    max((state / "models").glob("*.json")).write_text("{")
    assert main([*words, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["modelsVersion"] == 1
