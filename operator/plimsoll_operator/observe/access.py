"""How the worker process reaches the API server and the kubelets: address, TLS and token, as HTTP clients.

In: the kubeconfig ($KUBECONFIG or the default file) or the in-cluster service account, read by the
`kubernetes` client's own loader. Out: `httpx` clients that carry the token, refreshed where the loader
knows how (service-account tokens rotate every hour).
"""

import os
import ssl
from collections.abc import Generator
from dataclasses import dataclass

import httpx
from kubernetes.client import Configuration
from kubernetes.config import load_incluster_config, load_kube_config
from kubernetes.config.config_exception import ConfigException

from plimsoll_operator.observe.source import SourceError

CONNECTIONS = 64
KUBELET_CLIENTS = 16
KEEPALIVE_SECONDS = 300.0  # several intervals
TOKEN_KEY = "BearerToken"  # noqa: S105 - where the loaders of client 37 put it


class BearerToken(httpx.Auth):
    """Adds the token that the configuration holds at the time of the request."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Set the Authorization header of one request."""
        token = self._configuration.get_api_key_with_prefix(TOKEN_KEY, "authorization")
        if token:
            request.headers["Authorization"] = token
        yield request


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """Where the API server is and how to speak to it and to kubelets."""

    configuration: Configuration

    def api_client(self, timeout_seconds: float) -> httpx.Client:
        """Return a client whose base URL is the API server."""
        return httpx.Client(
            base_url=self.configuration.host,
            verify=self._api_tls(),
            auth=BearerToken(self.configuration),
            timeout=timeout_seconds,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            trust_env=False,
        )

    def kubelet_clients(
        self, timeout_seconds: float, ca_file: str, *, insecure: bool
    ) -> tuple[httpx.Client, ...]:
        """Return clients for kubelets' own ports, for nodes to be spread over.

        `ca_file` "" means the cluster's CA. Connections are kept from one tick to the next, for a TLS
        handshake costs more than the answer; each client's pool stays short, for it is searched at every
        request.
        """
        if insecure:
            context = _unverified()
            self._add_client_certificate(context)
        elif ca_file:
            context = ssl.create_default_context(cafile=ca_file)
            self._add_client_certificate(context)
        else:
            context = self._api_tls()
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE_SECONDS
        )
        return tuple(
            httpx.Client(
                verify=context,
                auth=BearerToken(self.configuration),
                timeout=timeout_seconds,
                limits=limits,
                trust_env=False,
            )
            for _ in range(KUBELET_CLIENTS)
        )

    def _api_tls(self) -> ssl.SSLContext:
        configuration = self.configuration
        if configuration.verify_ssl:
            context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
        else:
            context = _unverified()
        self._add_client_certificate(context)
        return context

    def _add_client_certificate(self, context: ssl.SSLContext) -> None:
        if self.configuration.cert_file:
            context.load_cert_chain(self.configuration.cert_file, self.configuration.key_file)


def cluster_access(context: str = "") -> ClusterAccess:
    """Return the access that the environment describes: $KUBECONFIG, the pod's account, or the default."""
    configuration = Configuration()
    explicit = os.environ.get("KUBECONFIG", "")
    try:
        if explicit:  # asked for by name: it wins over the pod's own account
            load_kube_config(explicit, context=context or None, client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            _load_default(context, configuration)
    except Exception as error:  # the loader raises whatever a broken file makes it trip over
        raise SourceError(f"no way to the API server: {error}") from error
    return ClusterAccess(configuration)


def _load_default(context: str, configuration: Configuration) -> None:
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        load_kube_config(context=context or None, client_configuration=configuration)  # type: ignore[no-untyped-call]


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
