"""What the Dockerfiles copy reaches every place that an image is built in, and changes every image's name.

In: the real Dockerfiles and the scripts that pack, filter and hash their sources.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILES = ("operator/Dockerfile", "nodeagent/Dockerfile")
# Where a script lists the sources, and the line it does so in.
LISTS = {
    "kind/vm/kind/cluster.sh": r"tar -c .*? (core .*?)\) \| tar",
    "kind/kind.sh": r"find (core .*?) -type f",
    "kind/vm/make-images.sh": r"find (core .*?) -type f",
}
# Of the files that are copied, those that never change what an image does.
TEXTS = {"LICENSE", "README.md"}


def copied(dockerfile: str) -> set[str]:
    """First parts of the paths that a Dockerfile takes from its context."""
    text = (ROOT / dockerfile).read_text("utf-8")
    sources = [line.split()[1:-1] for line in text.splitlines() if re.match(r"COPY (?!--from)", line)]
    return {source.partition("/")[0] for each in sources for source in each}


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
@pytest.mark.parametrize("script", LISTS)
def test_a_list_of_sources_has_all_that_is_copied(script, dockerfile):
    (listed,) = re.findall(LISTS[script], (ROOT / script).read_text("utf-8"))
    wanted = copied(dockerfile) - TEXTS - {"build"}
    if script.endswith("make-images.sh"):
        wanted -= {"requirements"}  # a layer of its own, whose name is in the image's
    assert wanted <= set(listed.split())


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_the_context_lets_in_all_that_is_copied(dockerfile):
    allowed = re.findall(r"^!([^/*\n]+)", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert copied(dockerfile) <= set(allowed)


def test_an_image_made_without_docker_is_called_after_layers_and_dockerfile():
    text = (ROOT / "kind/vm/make-images.sh").read_text("utf-8")
    (body,) = re.findall(r"^image_key\(\) \{.*?\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert all(part in body for part in ("app_layer", "deps_layer", "/Dockerfile"))
