"""The wire format: what is generated is what is written, names say units, nothing released is broken."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from plimsoll_proto.operator_bodies import RESPONSES, RESPONSES_OF, UNSAID
from plimsoll_proto.v1 import agent_pb2, column_pb2, operator_pb2

PROTO = Path(__file__).resolve().parents[3] / "proto"
FILES = (agent_pb2, column_pb2, operator_pb2)
NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT,
}  # fmt: skip
UNITS = re.compile(
    r"_(bytes|bytes_per_second|bytes_total|milliseconds|microseconds_total|ratio|ppm|number|count|count_total"
    r"|id|index|indexes|bits|deltas)$"
)
TEXTS = re.compile(r"_(name|uid|id|reason|checksum)$")


def messages() -> list[Descriptor]:
    return [each for file in FILES for each in file.DESCRIPTOR.message_types_by_name.values()]


def buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("buf")
    return subprocess.run([program, *arguments], cwd=PROTO, capture_output=True, text=True, check=False)


def test_generating_anew_changes_nothing(tmp_path: Path):
    subprocess.run([sys.executable, PROTO / "generate.py", "--out", tmp_path], check=True)
    made = {each.relative_to(tmp_path): each.read_text() for each in tmp_path.rglob("*_pb2.py*")}
    kept = {
        each.relative_to(PROTO): each.read_text()
        for each in PROTO.rglob("*_pb2.py*")
        if each.suffix != ".pyc"
    }
    assert made == kept, "run `make proto`"
    assert len(made) == 8


@pytest.mark.parametrize("message", messages(), ids=lambda each: each.name)
def test_every_number_has_its_unit_in_its_name(message: Descriptor):
    for field in message.fields:
        column = field.message_type is not None and field.message_type.name == "Column"
        if field.cpp_type in NUMBERS or column:
            assert UNITS.search(field.name), f"{message.name}.{field.name}"
        elif field.type == FieldDescriptor.TYPE_STRING:
            assert TEXTS.search(field.name), f"{message.name}.{field.name}"


def test_buf_finds_nothing_to_say_of_the_style():
    done = buf("lint")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_nothing_that_was_released_is_broken():
    done = buf("breaking", "--against", "released.binpb")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_a_field_that_changes_its_kind_is_told(tmp_path: Path):
    for each in PROTO.rglob("*.proto"):
        there = tmp_path / each.relative_to(PROTO)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(each.read_text().replace("uint32 shift_bits = 1", "string shift_bits = 1"))
    (tmp_path / "buf.yaml").write_text((PROTO / "buf.yaml").read_text())
    done = buf("breaking", str(tmp_path), "--against", "released.binpb")
    assert done.returncode != 0
    assert "shift_bits" in done.stdout


def test_what_nobody_says_is_marked_and_everything_else_has_a_writer_and_a_reader():
    fields = operator_pb2.AttendResponse.DESCRIPTOR.oneofs_by_name["body"].fields
    assert {each.name for each in fields if each.GetOptions().deprecated} == UNSAID
    said = {each.name for each in fields} - UNSAID - {"welcome"}
    assert {name for name, _ in RESPONSES.values()} == RESPONSES_OF.keys() == said
