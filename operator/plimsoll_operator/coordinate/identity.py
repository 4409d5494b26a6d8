"""The operator's certificate to agents, read again when it is rotated, and the authority of theirs.

In: a directory with `tls.crt`, `tls.key`, `ca.crt` (Helm's or cert-manager's, renewed in place). Out:
credentials of a gRPC server that asks for a client certificate and takes a renewed pair at the next
handshake; the same pair as a client's, for a stream that is carried to the replica that leads. A pair that
cannot be read, or whose halves do not belong together yet, leaves the old one in use.
"""

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

import grpc

logger = logging.getLogger(__name__)

FILES = ("tls.key", "tls.crt", "ca.crt")


class IdentityError(RuntimeError):
    """There is no usable certificate, and why."""


class ServerIdentity:
    """The files of one server."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stamp = self._stamp_now()
        self._first = self._read()
        self.reloads_total = 0
        self.problem = ""

    def credentials(self) -> grpc.ServerCredentials:
        """Mutual TLS that follows the files."""
        newer = cast(
            "Callable[[], grpc.ServerCertificateConfiguration]", self._newer
        )  # None is documented too
        return grpc.dynamic_ssl_server_credentials(self._first, newer, require_client_authentication=True)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Mutual TLS to another replica, with what the files hold now. Raises IdentityError."""
        key, certificate, authority = self._contents()
        return grpc.ssl_channel_credentials(authority, key, certificate)

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC at every handshake, in a thread of its own; None: what is in use stays."""
        try:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return None
            found = self._read()
        except IdentityError as error:
            if self.problem != str(error):
                logger.warning("the certificate for agents was not reloaded: %s", error)
            self.problem = str(error)
            return None
        self._stamp, self.problem = stamp, ""
        self.reloads_total += 1
        logger.info("the certificate for agents was reloaded")
        return found

    def _read(self) -> grpc.ServerCertificateConfiguration:
        key, certificate, authority = self._contents()
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._directory / "tls.crt", self._directory / "tls.key")
            context.load_verify_locations(cadata=authority.decode("ascii"))
        except (OSError, ValueError) as error:
            raise IdentityError(f"certificate for agents in {self._directory}: {error}") from None
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authority)

    def _contents(self) -> tuple[bytes, bytes, bytes]:
        try:
            key, certificate, authority = ((self._directory / name).read_bytes() for name in FILES)
        except OSError as error:
            raise IdentityError(f"certificate for agents in {self._directory}: {error}") from None
        return key, certificate, authority

    def _stamp_now(self) -> tuple[tuple[int, int], ...]:
        try:
            stats = [(self._directory / name).stat() for name in FILES]
        except OSError as error:
            raise IdentityError(f"certificate for agents in {self._directory}: {error}") from None
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in stats)
