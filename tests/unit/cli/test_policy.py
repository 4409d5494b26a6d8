"""`plimsoll policy check` as a person runs it: exit status, table, machine-readable output, files that are
no YAML."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from builders.crds import policy
from plimsoll_cli.main import app

EXAMPLES = sorted(str(path) for path in (Path(__file__).parents[3] / "docs" / "examples").glob("*.yaml"))


def check(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["policy", "check", *arguments], input=stdin)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump_all([policy("good"), policy("bad", limits={"min": "2Gi", "max": "1Gi"})]))
    return str(path)


def test_clean_policies_exit_0_and_say_so(tmp_path: Path):
    path = tmp_path / "good.yaml"
    path.write_text(yaml.safe_dump(policy()))
    result = check(str(path))
    assert (result.exit_code, result.stdout) == (0, "1 policy: nothing to object to\n")


def test_an_operating_point_out_of_reach_is_noted_with_the_reachable_range(tmp_path: Path):
    path = tmp_path / "far.yaml"
    path.write_text(yaml.safe_dump(policy(limits={"objective": "slack:0.05"})))
    result = check(str(path), "-o", "json")
    assert result.exit_code == 0
    (finding,) = json.loads(result.stdout)
    assert (finding["severity"], finding["field"]) == ("note", "spec.limits.objective")
    assert "prices are known from slack:0.182 to slack:0.473" in finding["message"]


def test_notes_alone_exit_0():
    result = check(*EXAMPLES)
    assert result.exit_code == 0
    assert "HolidaysIgnored" in result.stdout


def test_an_error_exits_1_and_names_document_policy_and_field(bad: str):
    result = check(bad, "-o", "json")
    assert result.exit_code == 1
    (row,) = json.loads(result.stdout)
    assert (row["severity"], row["policy"], row["field"]) == ("error", "bad", "spec.limits.min")
    assert row["file"].endswith("bad.yaml#2")
    assert "2Gi > 1Gi" in row["message"]


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ("yaml", yaml.safe_load),
        ("csv", lambda text: list(csv.DictReader(io.StringIO(text)))),
        ("json", json.loads),
    ],
)
def test_programs_can_read_every_format(bad: str, output: str, read):
    assert [row["field"] for row in read(check(bad, "-o", output).stdout)] == ["spec.limits.min"]


def test_the_table_names_the_field(bad: str):
    assert "spec.limits.min" in check(bad).stdout


def test_no_findings_are_an_empty_list_for_programs(tmp_path: Path):
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(policy()))
    assert json.loads(check(str(tmp_path / "good.yaml"), "-o", "json").stdout) == []


def test_reads_standard_input():
    assert check("-", stdin=yaml.safe_dump(policy(limits={"max": "lots"}))).exit_code == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "is not YAML"),
        ("a: 1\na: 2\n", "'a' is there twice"),
        ("? {a: b}\n: 1", "is not YAML"),
        ("metadata: {name: !!int abc}", "'abc' is not of type int"),
        ("spec: !!map foo", "is not YAML"),
        ("apiVersion: v1\nkind: List\nitems: 5", "the items of a v1 List have to be a list"),
    ],
)
def test_what_is_no_yaml_is_one_sentence(text: str, sentence: str):
    result = check("-", stdin=text)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_what_kubectl_exported_as_a_list_is_checked_item_by_item(tmp_path: Path):
    inner = {"apiVersion": "plimsoll.dev/v1alpha1", "kind": "MemoryPolicyList"}
    inner["items"] = [{"metadata": {"name": "third"}, "spec": {"mode": "Wild"}}]
    listed = {"apiVersion": "v1", "kind": "List", "items": [policy(), policy("bad", mode="Wild"), inner]}
    (tmp_path / "list.yaml").write_text(yaml.safe_dump(listed))
    found = json.loads(check(str(tmp_path / "list.yaml"), "-o", "json").stdout)
    assert [
        (row["file"][-1], row["policy"], row["field"]) for row in found if row["field"] == "spec.mode"
    ] == [
        ("2", "bad", "spec.mode"),
        ("3", "third", "spec.mode"),
    ]


def test_yaml_is_read_as_kubectl_reads_it(tmp_path: Path):
    text = yaml.safe_dump(
        policy(selector={"matchLabels": {"release": "RELEASE"}}, limits={"oomPrice": "PRICE"})
    )
    (tmp_path / "good.yaml").write_text(text.replace("RELEASE", "2024-05-01").replace("PRICE", "1e3"))
    result = check(str(tmp_path / "good.yaml"))
    assert (result.exit_code, result.stdout) == (0, "1 policy: nothing to object to\n")


def test_a_closed_standard_input_is_one_sentence():
    command = [sys.executable, "-m", "plimsoll_cli.main", "policy", "check", "-"]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "Error: -: standard input is closed\n")


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    result = check(str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert "none.yaml: No such file" in result.stderr


@pytest.mark.parametrize(
    ("text", "status", "why"),
    [("", 1, "there is no policy in this file"), ("[" * 3000, 2, "is nested too deeply")],
)
def test_a_file_that_holds_no_policy_is_told(tmp_path, text, status, why):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    result = CliRunner().invoke(app, ["policy", "check", str(path)])
    assert (result.exit_code, result.stdout) == (status, "")
    assert f"{path}" in result.stderr
    assert why in result.stderr
