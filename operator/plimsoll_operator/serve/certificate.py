"""The webhook's certificate: given as files, or made at start; read again when the files change.

In: a directory with `tls.crt` and `tls.key` (a mounted Secret, cert-manager's), perhaps empty. Out: a TLS
context that always serves the newest pair. A certificate of our own is self-signed for ten years by the
`openssl` program, and is its own CA: `caBundle` of the webhook's registration is the file itself.
"""

import asyncio
import ipaddress
import logging
import math
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from plimsoll_operator.serve.validity import ends_seconds

log = logging.getLogger(__name__)

CERTIFICATE_FILE = "tls.crt"
KEY_FILE = "tls.key"
VALID_DAYS = 3650
LOOK_AGAIN_SECONDS = 10.0  # how often the files are looked at; a renewed Secret is mounted within a minute


class CertificateError(RuntimeError):
    """There is no usable certificate, and why."""


class ServerCertificate:
    """The pair in a directory, and the TLS context that serves it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ends_seconds = math.nan  # Unix time; NaN: it cannot be read
        self._stamp: tuple[tuple[int, int], ...] = ()
        self.reload()

    @classmethod
    async def prepare(cls, directory: Path, hosts: Sequence[str]) -> "ServerCertificate":
        """Take the pair in `directory`; make one for `hosts` (names or addresses) where there is none."""
        if not (directory / CERTIFICATE_FILE).exists():
            await make_self_signed(directory, hosts)
        return cls(directory)

    def reload(self) -> bool:
        """Take the files in if they changed; returns whether they did. Raises `CertificateError`."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return False
        try:
            chain = (self._directory / CERTIFICATE_FILE).read_bytes()
            self.context.load_cert_chain(self._directory / CERTIFICATE_FILE, self._directory / KEY_FILE)
        except (OSError, ssl.SSLError) as error:
            raise CertificateError(f"certificate in {self._directory}: {error}") from error
        self.ends_seconds = ends_seconds(chain)
        self._stamp = stamp
        return True

    async def follow(self) -> None:
        """Look at the files for ever; a pair that cannot be read leaves the old one in use."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            try:
                if self.reload():
                    log.info("webhook certificate reloaded")
            except CertificateError as error:
                log.warning("webhook certificate not reloaded", extra={"reason": str(error)})

    def _stamp_now(self) -> tuple[tuple[int, int], ...]:
        try:
            stats = [(self._directory / name).stat() for name in (CERTIFICATE_FILE, KEY_FILE)]
        except OSError as error:
            raise CertificateError(f"certificate in {self._directory}: {error}") from error
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in stats)


@contextmanager
def certificate_directory(given: str) -> Iterator[Path]:
    """The directory of the pair; none given: a private one, which goes with the block.

    Never the current directory: a key does not belong wherever somebody happened to stand.
    """
    if given:
        yield Path(given)
        return
    with TemporaryDirectory(prefix="plimsoll-webhook-") as made:
        log.info("the webhook's certificate is in %s for as long as this process runs", made)
        yield Path(made)


async def make_self_signed(directory: Path, hosts: Sequence[str]) -> None:
    """Write a new key and a certificate for `hosts` into `directory`; raises `CertificateError`."""
    _empty_key(directory)
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(directory / KEY_FILE), "-out", str(directory / CERTIFICATE_FILE)),
        *("-days", str(VALID_DAYS), "-subj", "/CN=plimsoll-operator"),
        *("-addext", "subjectAltName=" + ",".join(_alternative_name(host) for host in hosts)),
        *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
        *("-addext", "extendedKeyUsage=serverAuth"),
    ]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise CertificateError(f"no openssl to make a certificate with, and none in {directory}") from error
    _, said = await process.communicate()
    if process.returncode:
        raise CertificateError(f"openssl made no certificate: {said.decode(errors='replace').strip()}")


def _empty_key(directory: Path) -> None:
    """Make the key's file before its content, so that nobody else can read it at any time."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / KEY_FILE).touch(mode=0o600)


def _alternative_name(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"
