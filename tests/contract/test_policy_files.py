"""Policy files as kubectl reads them: what `policy check` reads is what an API server would be sent.

In: YAML texts in which readers of YAML differ. Nothing is faked: kubectl itself says what it reads.
"""

import json
import subprocess
from pathlib import Path

import pytest

from builders.apiserver import ApiServer, binaries
from builders.crds import install_crds
from plimsoll_cli.failure import FileError
from plimsoll_cli.policy_files import documents_in

pytestmark = pytest.mark.apiserver

HEAD = "apiVersion: plimsoll.dev/v1alpha1\nkind: MemoryPolicy\nmetadata: {name: web, namespace: default}\n"
READ = {
    "numbers": "spec: {a: 1e3, b: 0x1F, c: 017, d: 08, e: 1_000, f: .5, g: 1., h: -7, i: 0b101, j: 1e-2}",
    "large numbers": "spec: {a: 9223372036854775807, b: 1e20, c: 1e30}",
    "what looks like a number": "spec: {a: 12:30:45, b: 1.2.3, c: 0o8, d: '5', e: 1e, f: 0x, g: ., h: _1}",
    "dates": "spec: {a: 2024-05-01, b: 2020-99-99, c: 2024-05-01T10:00:00Z, d: !!timestamp 2024-05-01}",
    "words": "spec: {a: y, b: N, c: off, d: On, e: yes, f: TRUE, g: ~, h: null, i: 'no', j: Null, k: tRue}",
    "tags": "spec: {a: !!str 5, b: !!int '5', c: !!float 3, d: !!bool 'true', e: !!str on}",
    "keys": "spec: {1: a, true: b, 2.5: c, off: d, 2024-05-01: e, 'x': f}",
    "merge keys": "spec: {a: &a {x: 1, z: 2}, b: {<<: *a, x: 3}, c: &c {<<: [*a], v: 1}, d: {<<: *c, v: 2}}",
    "anchors": "spec: {a: &a [1, 2], b: *a}",
    "texts": 'spec:\n  a: |\n    one\n    two\n  b: >-\n    one\n    two\n  c: "\\u00e9"',
}
REFUSED = {
    "an int that is none": "spec: !!int abc",
    "a boolean that is none": "spec: !!bool abc",
    "a date that is none": "spec: !!timestamp abc",
    "a key that is a mapping": "spec: {? {a: b} : 1}",
    "an alias of nothing": "spec: *a",
}
LISTED = "apiVersion: v1\nkind: List\nitems:\n- {item}\n- {item}\n"
ITEM = "{apiVersion: plimsoll.dev/v1alpha1, kind: MemoryPolicy, metadata: {name: web, namespace: default}}"
OF_ONE_KIND = (
    "apiVersion: plimsoll.dev/v1alpha1\nkind: MemoryPolicyList\n"
    "items: [{metadata: {name: web, namespace: default}}]\n"
)


@pytest.fixture(scope="module")
def kubeconfig(apiserver: ApiServer) -> Path:
    install_crds(apiserver.client())
    return apiserver.kubeconfig()


def read_by_kubectl(kubeconfig: Path, file: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["create", "--dry-run=client", "--validate=false", "-o", "json", "-f", str(file)]
    command = [str(binaries() / "kubectl"), "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_reads_what_kubectl_reads(kubeconfig: Path, tmp_path: Path, text: str):
    file = tmp_path / "policy.yaml"
    file.write_text(HEAD + text)
    done = read_by_kubectl(kubeconfig, file)
    assert done.returncode == 0, done.stderr
    (document,) = documents_in(str(file))
    # As JSON once more: 3 and 3.0 are one number there.
    assert document == json.loads(done.stdout)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_refuses_what_kubectl_refuses(kubeconfig: Path, tmp_path: Path, text: str):
    file = tmp_path / "policy.yaml"
    file.write_text(HEAD + text)
    assert read_by_kubectl(kubeconfig, file).returncode != 0
    with pytest.raises(FileError, match="is not YAML"):
        list(documents_in(str(file)))


@pytest.mark.parametrize(("text", "count"), [(LISTED.replace("{item}", ITEM), 2), (OF_ONE_KIND, 1)])
def test_a_list_is_what_is_in_it(kubeconfig: Path, tmp_path: Path, text: str, count: int):
    file = tmp_path / "policies.yaml"
    file.write_text(text)
    done = read_by_kubectl(kubeconfig, file)
    assert done.returncode == 0, done.stderr
    # kubectl prints them one after the other.
    told = json.loads(f"[{done.stdout.strip().replace('}' + chr(10) + '{', '},{')}]")
    assert list(documents_in(str(file))) == told
    assert len(told) == count
