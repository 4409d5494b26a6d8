"""Until when certificates are valid.

In: the PEM of a chain. Out: the Unix time at which the first of its certificates ends. Python's `ssl` tells
that of a peer's certificate and not of one's own, so the two dates are read out of the DER: `Certificate`,
`tbsCertificate`, `validity` of RFC 5280, section 4.1.
"""

import base64
import math
import re
from datetime import UTC, datetime

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME = 0xA0, 0x17  # tags: the optional field before the serial number; a year of two digits


def ends_seconds(pem: bytes) -> float:
    """Unix time at which the first certificate of a chain ends; NaN where it cannot be read."""
    try:
        return min(_end_seconds(base64.b64decode(each)) for each in _BLOCK.findall(pem))
    except (ValueError, IndexError):
        return math.nan


def _end_seconds(der: bytes) -> float:
    _, at, _ = _element(der, 0)  # Certificate
    _, at, _ = _element(der, at)  # tbsCertificate
    tag, _, end = _element(der, at)
    for _ in range(4 if tag == _VERSION else 3):  # version, serialNumber, signature, issuer
        at, (_, _, end) = end, _element(der, end)
    _, not_before, _ = _element(der, at)
    _, _, after_it = _element(der, not_before)
    tag, start, end = _element(der, after_it)
    text = der[start:end].decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag of the element that begins here, where its contents begin, and where they end."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        more = length & 0x7F
        length, start = int.from_bytes(der[start : start + more]), start + more
    if start + length > len(der):
        raise ValueError("cut off")
    return der[at], start, start + length
