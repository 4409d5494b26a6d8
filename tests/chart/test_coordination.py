"""In: values of `coordination`. Out: two sides that find each other, and let nobody else in."""

import base64
import json
import re
import shutil
import ssl
from itertools import pairwise
from pathlib import Path
from typing import Any

import helm_python
import pytest
from cryptography import x509

from builders.chart import CHART, NAMESPACE, Rendered, render
from plimsoll_nodeagent.main import parser
from plimsoll_operator.settings import settings_from
from plimsoll_proto.service import AUDIENCE

ON = {"coordination": {"enabled": True}}
APART = {**ON, "agent": {"namespace": "plimsoll-agents"}}
SECRETS = ("plimsoll-operator-agents", "plimsoll-agent-identity")
HOST = f"plimsoll-operator-agents.{NAMESPACE}.svc"
ISSUED = {
    "coordination": {"enabled": True, "certificate": {"source": "cert-manager", "issuerRef": {"name": "ca"}}}
}


def container(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    return render(values).one(kind)["spec"]["template"]["spec"]["containers"][0]


def secret(values: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in render(values).of_kind("Secret") if each["metadata"]["name"] == name)
    return found


def test_off_is_as_if_there_were_none():
    text = "\n".join(render().texts.values())
    assert "operator-address" not in text
    assert "tokenreviews" not in text
    assert "PLIMSOLL_AGENTS_PORT" not in text


def test_the_operator_takes_what_the_chart_sets():
    environment = {each["name"]: each.get("value", "x") for each in container("Deployment", APART)["env"]}
    settings = settings_from([], environment)
    assert settings.agents_port == 8444
    assert settings.agents_cert_dir == "/etc/plimsoll/agents"
    assert (
        settings.agents_service_account
        == render(APART).one("DaemonSet")["spec"]["template"]["spec"]["serviceAccountName"]
    )
    assert (settings.agents_per_second, settings.agents_per_second_of_address) == (100.0, 5.0)
    assert settings.agents_server_name == HOST
    (own,) = (each for each in container("Deployment", APART)["env"] if each["name"].endswith("AGENTS_HOST"))
    assert own["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}


def asked_names(values: dict[str, Any]) -> tuple[str, str]:
    """What the operator asks for in the certificate of an agent, and of another replica."""
    environment = {each["name"]: each.get("value", "x") for each in container("Deployment", values)["env"]}
    settings = settings_from([], environment)
    return settings.agents_client_name or settings.agents_service_account, settings.agents_server_name


@pytest.mark.parametrize("values", [APART, ISSUED, {**ON, "fullnameOverride": "line"}])
def test_the_names_that_are_asked_for_are_in_the_certificates(values: dict[str, Any]):
    rendered = render(values)
    agents, operators = asked_names(values)
    if values is ISSUED:
        found = {
            each["metadata"]["name"]: each["spec"]["dnsNames"] for each in rendered.of_kind("Certificate")
        }
    else:
        found = {each["metadata"]["name"]: dns_names(each) for each in rendered.of_kind("Secret")}
    (ours,) = (names for name, names in found.items() if name.endswith("-operator-agents"))
    (theirs,) = (names for name, names in found.items() if name.endswith("-agent-identity"))
    assert agents in theirs
    assert agents not in ours
    assert operators in ours
    assert operators not in theirs


def dns_names(pair: dict[str, Any]) -> list[str]:
    certificate = x509.load_pem_x509_certificate(base64.b64decode(pair["data"]["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def test_a_certificate_of_ones_own_may_have_another_name():
    own = {"source": "secret", "operatorSecretName": "ours", "agentSecretName": "theirs"}
    assert asked_names({"coordination": {"enabled": True, "certificate": own}})[0] == "plimsoll-agent"
    named = {**own, "agentName": "agents.memory.example"}
    values = {"coordination": {"enabled": True, "certificate": named}}
    assert asked_names(values)[0] == "agents.memory.example"


@pytest.mark.parametrize("act", [False, True])
def test_the_agent_takes_what_the_chart_sets(act: bool):
    values = {**ON, "agent": {"act": {"enabled": act}}}
    agent = container("DaemonSet", values)
    options = parser().parse_args(agent["args"])
    assert options.operator_address == f"dns:///{HOST}:8444"
    assert options.operator_server_name == HOST
    assert options.kube_node == "$(KUBE_NODE)"
    assert "KUBE_NODE" in [each["name"] for each in agent["env"]]
    mounts = {each["mountPath"]: each["name"] for each in agent["volumeMounts"]}
    assert mounts[str(options.operator_identity_dir)] == "identity"
    assert mounts[str(options.operator_token_file.parent)] == "token"


def test_the_token_is_for_the_operator_alone():
    volumes = render(ON).one("DaemonSet")["spec"]["template"]["spec"]["volumes"]
    (token,) = (each["projected"]["sources"] for each in volumes if each["name"] == "token")
    assert token == [
        {"serviceAccountToken": {"path": "token", "audience": AUDIENCE, "expirationSeconds": 3600}}
    ]


def test_helms_certificates_are_of_one_authority_for_two_names_and_in_two_namespaces():
    rendered = render(APART)
    pairs = {each["metadata"]["name"]: each for each in rendered.of_kind("Secret")}
    ours, theirs = pairs["plimsoll-operator-agents"], pairs["plimsoll-agent-identity"]
    assert (ours["metadata"]["namespace"], theirs["metadata"]["namespace"]) == (NAMESPACE, "plimsoll-agents")
    assert ours["data"]["ca.crt"] == theirs["data"]["ca.crt"]
    authority = x509.load_pem_x509_certificate(base64.b64decode(ours["data"]["ca.crt"]))
    for pair, name in ((ours, HOST), (theirs, "plimsoll-agent")):
        certificate = x509.load_pem_x509_certificate(base64.b64decode(pair["data"]["tls.crt"]))
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert name in names.get_values_for_type(x509.DNSName)


class Cluster:
    """The chart with what `lookup` finds written into it, and the Secrets of the last upgrade."""

    def __init__(self, directory: Path) -> None:
        self.chart = shutil.copytree(CHART, directory / "plimsoll")
        template = self.chart / "templates" / "coordination" / "certificates.yaml"
        asked = r'lookup "v1" "Secret" (\S+) (\(include "[^"]+" \.\))'
        text, count = re.subn(
            asked, r'index (.Files.Get "found.json" | fromJson) \2 | default dict', template.read_text()
        )
        assert count == 2
        template.write_text(text)
        self.found: dict[str, Any] = {}

    def upgrade(self, renew: int) -> dict[str, Any]:
        (self.chart / "found.json").write_text(json.dumps(self.found))
        values = {"coordination": {"enabled": True, "certificate": {"renew": renew}}}
        made = Rendered(
            helm_python.Chart.load(self.chart).render(values, name="plimsoll", namespace=NAMESPACE)
        )
        pairs = {each["metadata"]["name"]: each for each in made.of_kind("Secret")}
        self.found = {name: pairs[name] for name in SECRETS}
        return self.found

    def write(self, directory: Path) -> tuple[Path, Path]:
        """The files of both sides' pods as they are now."""
        sides = []
        for name in SECRETS:
            (directory / name).mkdir(parents=True)
            for file, content in self.found[name]["data"].items():
                (directory / name / file).write_bytes(base64.b64decode(content))
            sides.append(directory / name)
        return sides[0], sides[1]


def speaks(operator: Path, agent: Path) -> bool:
    """A handshake, TLS on both sides, each verified by the other; no socket between them."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.verify_mode = ssl.CERT_REQUIRED
    for context, files in ((server, operator), (client, agent)):
        context.load_cert_chain(files / "tls.crt", files / "tls.key")
        context.load_verify_locations(files / "ca.crt")
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [server.wrap_bio(up, down, server_side=True), client.wrap_bio(down, up, server_hostname=HOST)]
    for _ in range(4):
        for side in reversed(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    try:
        sides[1].write(b"hello")
        return sides[0].read(5) == b"hello"
    except ssl.SSLError:
        return False


def test_helms_certificates_are_kept_at_upgrades_and_renewed_in_three_steps(tmp_path: Path):
    """Whichever side has read its files first, after every step: all can speak, and the old end refused."""
    cluster = Cluster(tmp_path)
    steps = []
    for number, renew in enumerate((0, 0, 1, 1, 2, 3, 3, 4)):
        cluster.upgrade(renew)
        steps.append(cluster.write(tmp_path / str(number)))
    made, kept, trusted, trusted_still, shown, alone, alone_still, again = steps
    for one, other in ((made, kept), (trusted, trusted_still), (alone, alone_still)):
        for before, after in zip(one, other, strict=True):
            for each in before.iterdir():
                assert each.read_bytes() == (after / each.name).read_bytes(), each.name
    for before, after in pairwise((made, trusted, shown, alone, again)):
        assert speaks(before[0], before[1])
        assert speaks(after[0], before[1]), "the operator has read its files, the agent has not"
        assert speaks(before[0], after[1]), "the agent has, the operator has not"
    assert not speaks(alone[0], made[1])
    assert not speaks(made[0], alone[1])
    for side in (0, 1):
        assert (made[side] / "tls.key").read_bytes() != (shown[side] / "tls.key").read_bytes()
        assert not (alone[side] / "next.key").exists()


def test_secrets_of_the_version_before_are_kept_and_one_that_is_gone_makes_both_anew(tmp_path: Path):
    cluster = Cluster(tmp_path)
    for each in cluster.upgrade(0).values():
        del each["metadata"]["annotations"]
    before = {name: each["data"] for name, each in cluster.found.items()}
    assert {name: each["data"] for name, each in cluster.upgrade(0).items()} == before
    del cluster.found["plimsoll-agent-identity"]
    cluster.upgrade(0)
    assert speaks(*cluster.write(tmp_path / "anew"))
    assert cluster.found["plimsoll-operator-agents"]["data"] != before["plimsoll-operator-agents"]


def test_cert_managers_certificates_are_of_the_authority_that_is_named():
    made = {each["metadata"]["name"]: each for each in render(ISSUED).of_kind("Certificate")}
    ours, theirs = made["plimsoll-operator-agents"]["spec"], made["plimsoll-agent-identity"]["spec"]
    assert (
        ours["issuerRef"]
        == theirs["issuerRef"]
        == {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "ca"}
    )
    assert HOST in ours["dnsNames"]
    assert ("server auth" in ours["usages"], "client auth" in theirs["usages"]) == (True, True)
    assert "client auth" in ours["usages"], "replicas are clients of the one that leads"
    assert "server auth" not in theirs["usages"], "an agent is nobody's leader"


@pytest.mark.parametrize(
    ("certificate", "named"),
    [
        ({"source": "cert-manager"}, "issuerRef.name"),
        ({"source": "secret"}, "operatorSecretName"),
        ({"source": "secret", "operatorSecretName": "ours"}, "agentSecretName"),
    ],
)
def test_asks_for_what_certificates_of_ones_own_need(certificate: dict[str, str], named: str):
    with pytest.raises(Exception, match=named):
        render({"coordination": {"enabled": True, "certificate": certificate}})


def test_the_service_shows_every_replica():
    (service,) = (
        each for each in render(ON).of_kind("Service") if each["metadata"]["name"].endswith("-agents")
    )
    assert service["spec"]["clusterIP"] == "None"
    (port,) = service["spec"]["ports"]
    named = {each["name"]: each["containerPort"] for each in container("Deployment", ON)["ports"]}
    assert named[port["targetPort"]] == port["port"] == 8444


def test_only_agents_come_in_and_they_go_nowhere_else():
    policies = {each["metadata"]["name"]: each["spec"] for each in render(APART).of_kind("NetworkPolicy")}
    (door,) = (
        each for each in policies["plimsoll-operator"]["ingress"] if each["ports"][0]["port"] == "agents"
    )
    peer, replica = door["from"]
    assert replica == {"podSelector": policies["plimsoll-operator"]["podSelector"]}
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "plimsoll-agents"}
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "agent"
    way, names = policies["plimsoll-agent"]["egress"]
    assert way["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "operator"
    assert {each["port"] for each in names["ports"]} == {53}


def test_where_the_operators_ways_out_are_named_replicas_find_each_other():
    values = {**ON, "networkPolicy": {"operatorEgress": [{"ports": [{"port": 6443, "protocol": "TCP"}]}]}}
    policies = {each["metadata"]["name"]: each["spec"] for each in render(values).of_kind("NetworkPolicy")}
    operator = policies["plimsoll-operator"]
    assert operator["egress"][-1]["to"] == [{"podSelector": operator["podSelector"]}]
    assert operator["egress"][-1]["ports"] == [{"port": "agents", "protocol": "TCP"}]
