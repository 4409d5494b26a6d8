"""What the pages about a cluster say is so, without a cluster: each command is one that a test answers, each
value and image that they name is the chart's, every link leads somewhere.

In: the pages, the chart's values. tests/docs/test_cluster_pages.py runs the commands.
"""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.chart import CHART, default_images, loaded, render
from builders.shell import COMMAND_SECONDS
from builders.shown.cluster import DOCS, PAGES, ROOT, SHELL_BLOCK, SHOWN, shown_commands

ELSEWHERE = (
    "agent",
    "benchmark",
    "cli",
    "memory",
)  # test_agent_page.py, test_benchmark_page.py, test_cluster_commands.py, test_memory_page.py
# The first word of every command in a pipeline, and what answers it.
PROGRAMS = {
    "helm": "Helm's library",
    "kubectl": "the real one",
    "plimsoll": "the real one",
    "kind/up.sh": "the real one, with the stand-ins for docker and kind",
    "kind/down.sh": "the real one, with the stand-ins for docker and kind",
    "kind/values.sh": "the real one",
    "docker": "a stand-in that checks",
    "podman": "a stand-in that checks",
    "kind": "a stand-in that checks",
    "export": "the shell, kept for the commands after it",
    "tee": "the system's",
    "sort": "the system's",
    "xargs": "the system's",
}


# -- nothing is left out ------------------------------------------------------------------------------------


def test_every_page_with_a_command_has_its_test():
    pages = {page.stem for page in DOCS.rglob("*.md") if "```sh\n" in page.read_text()}
    assert pages == {*PAGES, *ELSEWHERE}
    others = re.compile(r"^```(bash|shell|zsh)", re.MULTILINE)
    found = [page for page in DOCS.rglob("*.md") if others.search(page.read_text())]
    assert found == [], "write shell commands in `sh` blocks, which are run"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_one_that_something_answers(page: str):
    commands = shown_commands(DOCS / f"{page}.md")
    assert commands
    for command in commands:
        for part in re.sub(r"'[^']*'", "", command).split("|"):
            assert part.split()[0] in PROGRAMS, f"{page}.md: nobody runs `{part.strip()}`: {command}"


INLINE = re.compile(r"`((?:kubectl|helm|kind|docker|podman|plimsoll|export|make) [^`]+)`")
MENTIONED = {
    "kind load docker-image": "what does not do",
    "kubectl describe memoryprofile": "where something is read",
    "helm template": "what tools of GitOps do",
    "kubectl describe": "where something is read",
}


@pytest.mark.parametrize("page", PAGES)
def test_a_command_within_a_sentence_is_one_that_a_block_shows_or_make_knows(page: str):
    text = (DOCS / f"{page}.md").read_text()
    blocks = " ".join(shown_commands(DOCS / f"{page}.md")) + (DOCS / "cli.md").read_text()
    targets = re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = [*MENTIONED, *(f"make {each}" for each in targets)]
    prose = SHELL_BLOCK.sub("", text)
    lacking = [each for each in INLINE.findall(prose) if each not in shown and each not in blocks]
    assert lacking == []


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ("helm.py install plimsoll charts/plimsoll --atomic", "unrecognized arguments: --atomic"),
        ("helm.py upgrade plimsoll charts/plimsoll --reuse", "unrecognized arguments: --reuse"),
        ("container_tools.py docker build -t x --no-cache .", "unrecognized arguments: --no-cache"),
        ("container_tools.py docker build -t x -f nodeagent/Dockerfile --build-arg BAS=y .", "no ARG BAS"),
        (
            "container_tools.py docker build -t x -f nodeagent/Dockerfile docs",
            "copies requirements/build.lock",
        ),
        ("container_tools.py docker push plimsoll/agent:0.2.0", "there is no image plimsoll/agent:0.2.0"),
        ("container_tools.py kind load docker-image plimsoll/agent:0.2.0", "invalid choice"),
        ("container_tools.py kind load image-archive images.tar", "there is no cluster kind"),
        (
            "container_tools.py docker save --multi-image-archive -o x y",
            "unrecognized arguments: --multi-image",
        ),
    ],
)
def test_a_stand_in_refuses_what_it_does_not_know(command: str, refusal: str, tmp_path: Path):
    script, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, SHOWN / script, *arguments],
        cwd=ROOT,
        env={**os.environ, "PLIMSOLL_SHOWN_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )
    assert done.returncode != 0
    assert refusal in done.stderr


# -- what the pages name exists -----------------------------------------------------------------------------


@cache
def values() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return read


def named_values(page: Path) -> set[str]:
    """Dotted names that begin like a value of the chart, in code."""
    code = re.findall(r"`[^`\n]+`", page.read_text()) + shown_commands(page)
    name = re.compile(rf"(?<![\w./-])(?:{'|'.join(values())})(?:\.\w+)+(?![\w/])")
    return {
        each
        for text in code
        for each in name.findall(text)
        if not each.endswith((".md", ".yaml", ".py", ".k8s.io"))
    }


def is_value(name: str) -> bool:
    """Whether values.yaml has it; below an empty map or a list everything may be."""
    found: Any = values()
    for part in name.split("."):
        if not found or not isinstance(found, dict):
            return found in ({}, []) or isinstance(found, list)
        if part not in found:
            return False
        found = found[part]
    return True


@pytest.mark.parametrize("page", PAGES)
def test_values_that_a_page_names_are_the_charts(page: str):
    named = named_values(DOCS / f"{page}.md")
    assert {each for each in named if not is_value(each)} == set()
    assert named or page == "uninstall"
    assert not is_value("operator.settings.nothing")


def is_policys_field(name: str) -> bool:
    """Whether a policy has it: `placement` is a value of the chart and a part of each policy."""
    crd = yaml.safe_load((CHART / "files/crds/memorypolicies.yaml").read_text())
    found = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for part in name.split("."):
        if part not in found.get("properties", {}):
            return False
        found = found["properties"][part]
    return True


def test_values_that_the_fields_texts_name_are_the_charts_or_a_policys():
    """crds.md is made of the models' docstrings, as `kubectl explain` is: no code marks."""
    name = re.compile(rf"(?<![\w./-])(?:{'|'.join(values())})(?:\.\w+)+")
    named = set(name.findall((DOCS / "crds.md").read_text()))
    assert "agent.act.enabled" in named
    assert {each for each in named if not is_value(each) and not is_policys_field(each)} == set()
    assert is_policys_field("placement.numa")
    assert not is_policys_field("placement.nothing")


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path):
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text())
    assert [each for each in links if not (page.parent / each).exists()] == []


def test_image_names_in_the_pages_are_the_charts():
    known = {*default_images(), *default_images("$REGISTRY")}
    for page in PAGES:
        shown = set(
            re.findall(r"[\w$.]+/plimsoll/(?:operator|agent):[\w.]+", (DOCS / f"{page}.md").read_text())
        )
        assert shown <= known, page


def test_the_charts_own_page_shows_what_the_page_about_installing_shows():
    page = CHART / "README.md"
    assert set(shown_commands(page)) <= set(shown_commands(DOCS / "install.md"))
    files = re.findall(r"`(docs/[^`]+)`", page.read_text())
    assert len(files) == 7
    assert [each for each in files if not (ROOT / each).exists()] == []
    assert loaded().metadata["kubeVersion"] == ">=1.33.0-0"
    assert "Kubernetes 1.33" in page.read_text()


@pytest.mark.parametrize("acts", [False, True])
def test_the_files_that_are_left_on_nodes_are_the_charts(acts: bool):
    rendered = render({"agent": {"act": {"enabled": acts}}})
    (container,) = rendered.one("DaemonSet")["spec"]["template"]["spec"]["containers"]
    named = container["securityContext"]["seccompProfile"]["localhostProfile"]
    path = Path("/var/lib/kubelet/seccomp", named)
    page = (DOCS / "uninstall.md").read_text()
    assert f"`{path.parent}`" in page
    (pattern,) = re.findall(r"`(\S+\*\.json)`", page)
    assert path.match(pattern)


def test_the_agents_page_tells_how_the_chart_starts_it():
    pod = render().one("DaemonSet")["spec"]["template"]["spec"]
    (agent,) = pod["containers"]
    page = (DOCS / "agent.md").read_text().partition("## In a pod")[2].partition("\n## ")[0]
    flags = [each for each in agent["args"] if each.startswith(("--root", "--cgroup-root"))]
    paths = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    mounts = [each["mountPath"] for each in agent["volumeMounts"]]
    told = [*flags, *mounts, *(paths[each["name"]] for each in agent["volumeMounts"])]
    assert [each for each in told if f"`{each}`" not in page] == []
    assert set(re.findall(r"`(/host[^`]*)`", page)) == set(mounts)
