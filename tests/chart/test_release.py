"""One version everywhere: the package, the chart, the images it asks for, the Dockerfiles, the pages; and a
checkout that has something unreleased in it does not wear the number of a release.

In: the files that name a version. What pulls no image anew because its tag is the old one (IfNotPresent) is
why: new templates would start the code of before.
"""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from builders.chart import default_images, render

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
DOCKERFILES = ("operator/Dockerfile", "nodeagent/Dockerfile")
# The scripts that name images take the version from pyproject.toml.
SCRIPTS = ("kind/kind.sh", "kind/vm/make-images.sh")
READS_IT = """sed -n 's/^version = "\\(.*\\)"/\\1/p' "$REPO/pyproject.toml" | head -1"""


def parts(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split("."))


def sections(changelog: str) -> dict[str, str]:
    """Heading's name -> what stands below it."""
    found = re.split(r"^## \[([^\]]+)\].*$", changelog, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def wears_a_released_number(changelog: str, version: str) -> bool:
    """Whether there is something unreleased, and the version is no newer than the last release."""
    by_name = sections(changelog)
    unreleased = by_name.pop("Unreleased").strip()
    return bool(unreleased) and parts(version) <= max(map(parts, by_name))


def test_what_is_unreleased_has_a_number_that_no_release_had():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "0.1.0" in sections(changelog)
    assert not wears_a_released_number(changelog, VERSION), f"{VERSION} is released: take the next number"
    assert wears_a_released_number(changelog, "0.1.0")
    assert not wears_a_released_number("## [Unreleased]\n\n## [0.1.0] - then\n\n- all\n", "0.1.0")


def test_the_charts_two_versions_are_the_packages():
    chart = yaml.safe_load((ROOT / "charts/plimsoll/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


@pytest.mark.parametrize("path", DOCKERFILES)
def test_an_image_is_labelled_with_the_packages_version(path: str):
    assert re.findall(r"^ARG VERSION=(.+)$", (ROOT / path).read_text(), re.MULTILINE) == [VERSION]


def test_the_chart_asks_for_images_of_this_version():
    images = [
        container["image"]
        for kind in ("Deployment", "DaemonSet")
        for each in render().of_kind(kind)
        for container in each["spec"]["template"]["spec"]["containers"]
    ]
    assert sorted(images) == sorted(default_images())
    assert {each.rpartition(":")[2] for each in images} == {VERSION}


@pytest.mark.parametrize("path", SCRIPTS)
def test_scripts_that_name_images_read_the_version_where_it_stands(path: str):
    text = (ROOT / path).read_text()
    assert READS_IT in text
    assert "$(version)-" in text
    assert VERSION not in text


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / each for each in DOCKERFILES)]


def test_pages_and_dockerfiles_name_no_image_of_another_version():
    named = re.compile(r"plimsoll/(?:operator|agent|worker):([\w.-]*\w)")
    found = {
        (str(path.relative_to(ROOT)), tag)
        for path in pages()
        if path.name != "CHANGELOG.md" and "decisions" not in path.parts
        for tag in named.findall(path.read_text())
    }
    assert {path for path, _ in found} >= {*DOCKERFILES, "docs/upgrade.md", "docs/memory.md"}
    assert {each for each in found if each[1] != VERSION} == set()
