"""Profiles survive the way to the cluster and back: bytes and times become text, and numbers again."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from plimsoll.api.profile import CHECKPOINT_MAX_CHARACTERS, ContainerProfile, DecisionRecord, ProfileStatus
from plimsoll.api.v1alpha1 import MemoryProfile, NodeMemory

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
DECISION = DecisionRecord(
    kind="raise", reason="OOMKilled", time_seconds=NOON + 0.7, from_bytes=256 * 2**20, to_bytes=1000
)
STATUS = ProfileStatus(
    policy="MemoryPolicy shop/web",
    containers=(ContainerProfile(name="app", last_decision=DECISION, checkpoint="AAAA"),),
)


def test_a_decision_reads_as_people_expect():
    assert DECISION.to_api() == {
        "kind": "raise",
        "reason": "OOMKilled",
        "message": "",
        "time": "2026-11-21T12:00:00Z",
        "from": "256Mi",
        "to": "1000",
    }


def test_a_profile_of_the_cluster_is_read_back():
    body = {"metadata": {"name": "deployment-web", "managedFields": []}, "status": STATUS.to_api()}
    read = MemoryProfile.model_validate(body)
    assert read.status.policy == STATUS.policy
    assert read.spec.restore is False
    decision = read.status.containers[0].last_decision
    assert (decision.from_bytes, decision.to_bytes, decision.time_seconds) == (256 * 2**20, 1000, NOON)


@pytest.mark.parametrize(
    "text", ["2026-11-21T12:00:00Z", "2026-11-21T13:00:00+01:00", "2026-11-21T12:00:00.000Z"]
)
def test_times_are_read_in_every_spelling(text: str):
    assert DecisionRecord.model_validate({"kind": "keep", "time": text}).time_seconds == NOON


def test_a_checkpoint_of_8_kib_fits_and_no_larger_one():
    ContainerProfile(name="app", checkpoint="A" * 10_924)
    with pytest.raises(ValidationError, match="checkpoint"):
        ContainerProfile(name="app", checkpoint="A" * (CHECKPOINT_MAX_CHARACTERS + 1))


def test_fields_of_a_newer_version_are_ignored():
    assert (
        NodeMemory.model_validate({"status": {"usage": "1Gi", "colour": "red"}}).status.usage_bytes == 2**30
    )
