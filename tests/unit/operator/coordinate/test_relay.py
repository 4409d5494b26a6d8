"""What a relay makes of a leader's last word."""

import grpc
import pytest

from plimsoll_operator.coordinate.relay import _passed_on
from plimsoll_proto import service


@pytest.mark.parametrize(
    ("said", "seconds"), [("50000", 50.0), ("1e12", 600.0), ("inf", 600.0), ("nan", 0.0)]
)
def test_a_leader_sends_relayed_agents_away_for_ten_minutes_at_the_most(said, seconds):
    """Without a bound "inf" and "nan" would raise where the relay writes its own trailer."""
    trailing = grpc.aio.Metadata((service.RETRY_AFTER, said))
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), trailing, "too many streams"
    )
    refused = _passed_on(error)
    assert (refused.code, refused.wait_seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, seconds)
    assert str(refused) == "by way of another replica: too many streams"
