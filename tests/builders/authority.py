"""A certificate authority of a test: real pairs for servers and clients, in directories as pods have them."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOUR = dt.timedelta(hours=1)
OPERATOR_HOST, AGENT_HOST = "localhost", "plimsoll-agent"
PEM = serialization.Encoding.PEM


class Authority:
    """Signs for loopback; `expired` pairs ended an hour ago."""

    def __init__(self, name: str = "plimsoll test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        now = dt.datetime.now(dt.UTC)
        self._certificate = (
            _builder(self._name, self._name, self._key, now - 3 * HOUR, now + 24 * HOUR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def write(
        self,
        directory: Path,
        name: str,
        *,
        expired: bool = False,
        lasts: dt.timedelta = 12 * HOUR,
        trusts: "tuple[Authority, ...]" = (),
        hosts: tuple[str, ...] = (),
    ) -> Path:
        """`tls.crt`, `tls.key` and `ca.crt`, moved into place one by one.

        `hosts`: the names that the pair is for; those of an operator where `name` is that, else an agent's.
        `trusts`: other authorities in `ca.crt`, as while one takes over from another.
        """
        hosts = hosts or ((OPERATOR_HOST,) if name == "operator" else (AGENT_HOST,))
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        ends = now - HOUR if expired else now + lasts
        names = [*map(x509.DNSName, hosts), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(_named(name), self._name, key, now - 2 * HOUR, ends)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        directory.mkdir(parents=True, exist_ok=True)
        contents = {"tls.key": private, "tls.crt": certificate.public_bytes(PEM)}
        bundle = b"".join(each._certificate.public_bytes(PEM) for each in (self, *trusts))
        for file, content in (contents | {"ca.crt": bundle}).items():
            part = directory / f".{file}"
            part.write_bytes(content)
            part.rename(directory / file)
        return directory


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: dt.datetime,
    ends: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
