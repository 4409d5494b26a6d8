"""From a kubeconfig to a client that reaches the API server: over TLS, with the token that is in force."""

import pytest
import yaml
from kubernetes.client import Configuration

from builders.answering import Answer, answering
from builders.certificates import loopback_pair
from plimsoll_operator.observe.access import ClusterAccess, cluster_access
from plimsoll_operator.observe.source import SourceError


def kubeconfig(path, url, **cluster):
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": url} | cluster}],
        "users": [{"name": "u", "user": {"token": "abc"}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
        ],
    }
    path.write_text(yaml.safe_dump(document))


def test_reads_address_authority_and_token_from_the_kubeconfig(tmp_path, monkeypatch):
    pair = loopback_pair(tmp_path / "pair")
    with answering(lambda _: Answer(b"{}"), tls=pair) as server:
        kubeconfig(tmp_path / "config", server.url, **{"certificate-authority": str(pair / "tls.crt")})
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        with cluster_access().api_client(5.0) as client:
            assert client.get("/version").status_code == 200
    assert server.asked[0].headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize("content", [None, "{}", "][", "clusters: 3"])
def test_a_kubeconfig_that_is_none_is_one_error_that_says_so(tmp_path, monkeypatch, content):
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(SourceError, match="no way to the API server"):
        cluster_access()


def test_a_token_that_rotates_is_the_new_one_at_the_next_request():
    tokens = iter(["Bearer one", "Bearer two"])
    configuration = Configuration()
    configuration.refresh_api_key_hook = lambda c: c.api_key.update(BearerToken=next(tokens))
    with answering(lambda _: Answer(b"{}")) as server:
        configuration.host = server.url
        with ClusterAccess(configuration).api_client(5.0) as client:
            client.get("/a")
            client.get("/b")
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer one", "Bearer two"]
