"""Who the agent is to the operator: a client certificate, and the token of its own service account.

In: a directory with `tls.crt`, `tls.key` and `ca.crt` (Helm's or cert-manager's), a token file that the
kubelet renews. Out: credentials for one connection and metadata for one stream, read anew each time: what was
rotated is used from the next stream on, and the operator bounds how long one lasts.
"""

from dataclasses import dataclass
from pathlib import Path

import grpc

from plimsoll_proto.service import AUTHORIZATION

CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"


class IdentityError(Exception):
    """A file of the identity is missing or empty; the sentence names it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Where the files are."""

    directory: Path
    token_file: Path

    def credentials(self) -> grpc.ChannelCredentials:
        """TLS both ways. Raises IdentityError."""
        authority, key, certificate = (
            _content(self.directory / name) for name in (AUTHORITY, KEY, CERTIFICATE)
        )
        return grpc.ssl_channel_credentials(authority, key, certificate)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a stream shows of its token. Raises IdentityError."""
        token = _content(self.token_file).decode("ascii", errors="replace").strip()
        return ((AUTHORIZATION, f"Bearer {token}"),)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IdentityError(f"{path.name}: {error.strerror}") from None
    if not content.strip():
        raise IdentityError(f"{path.name} is empty")
    return content
