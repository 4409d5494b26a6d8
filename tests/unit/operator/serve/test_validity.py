"""The end of a certificate as it is read out of its bytes is the one that other readers find."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from plimsoll_operator.serve.certificate import VALID_DAYS, ServerCertificate, make_self_signed
from plimsoll_operator.serve.validity import ends_seconds

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


def pem(ends: datetime, name: str = "plimsoll-operator") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    "ends",
    [
        datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),  # the last that is written with two digits
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),  # RFC 5280: no end that is known
    ],
    ids=str,
)
def test_an_end_is_what_was_signed(ends: datetime):
    assert ends_seconds(pem(ends)) == ends.timestamp()


def test_of_a_chain_the_first_end_counts():
    early, late = datetime(2027, 5, 1, tzinfo=UTC), datetime(2037, 5, 1, tzinfo=UTC)
    chain = pem(late) + b"an intermediate:\n" + pem(early, "x" * 60)
    assert ends_seconds(chain) == early.timestamp()


@pytest.mark.parametrize("length", [0, 1, 40, 90, 140])
def test_what_is_no_certificate_has_no_end(length: int):
    whole = pem(datetime(2030, 1, 1, tzinfo=UTC)).splitlines()
    cut = b"\n".join([whole[0], b"".join(whole[1:-1])[:length], whole[-1]])
    assert math.isnan(ends_seconds(cut))
    assert math.isnan(ends_seconds(b""))


async def test_the_pair_that_is_served_tells_its_end_and_the_next_ones(tmp_path):
    certificate = await ServerCertificate.prepare(tmp_path / "a", ["localhost"])
    expected = (datetime.now(UTC) + timedelta(days=VALID_DAYS)).timestamp()
    assert certificate.ends_seconds == pytest.approx(expected, abs=600)
    await make_self_signed(tmp_path / "b", ["localhost"])
    for name in ("tls.crt", "tls.key"):
        (tmp_path / "b" / name).replace(tmp_path / "a" / name)
    certificate.ends_seconds = 0.0
    assert certificate.reload()
    assert certificate.ends_seconds == pytest.approx(expected, abs=600)
