"""What the images install is enough for what runs in them, and the chart starts what they hold."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from builders.chart import render
from plimsoll_operator.settings import OperatorSettings

ROOT = Path(__file__).resolve().parents[2]
# In the image -> where it is built, what it runs, and the modules that run in processes of their own.
IMAGES = {
    "operator": ("operator", ("plimsoll_operator.main", "plimsoll_operator.engine.worker")),
    "agent": ("nodeagent", ("plimsoll_nodeagent.main",)),
}
# httpx uses them for its own command line where they happen to be there.
# grpcio-tools has a module in the package of grpcio.
NOT_NEEDED = {"rich", "pygments", "markdown-it-py", "mdurl", "grpcio-tools"}
LISTED = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names))
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    return {
        normal(each[1]): each[2]
        for each in re.finditer(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE)
    }


def test_the_forecast_extra_is_locked_besides_and_not_in_the_plain_image():
    plain, more = locked("operator"), locked("operator-forecast")
    assert plain.items() <= more.items()
    assert {"prophet", "lightgbm", "scipy"} <= more.keys() - plain.keys()
    assert "locks/operator-${EXTRAS}.lock" in (ROOT / "operator/Dockerfile").read_text()


@pytest.mark.parametrize("image", IMAGES)
def test_the_lock_has_all_that_is_imported(image: str):
    _, modules = IMAGES[image]
    done = subprocess.run(
        [sys.executable, "-c", LISTED, *modules], capture_output=True, text=True, check=True, timeout=120
    )
    distributions = packages_distributions()
    needed = {normal(each) for name in done.stdout.split() for each in distributions.get(name, ())}
    assert needed - {"plimsoll", "setuptools"} - NOT_NEEDED <= locked(image).keys()


@pytest.mark.parametrize("image", [*IMAGES, "build"])
def test_versions_are_the_ones_that_are_tested(image: str):
    every = set(
        re.findall(
            r"^([A-Za-z0-9._-]+==[^ ;\\]+)", (ROOT / "requirements/dev.lock").read_text(), re.MULTILINE
        )
    )
    mine = re.findall(
        r"^([A-Za-z0-9._-]+==[^ ;\\]+)", (ROOT / f"requirements/{image}.lock").read_text(), re.MULTILINE
    )
    assert mine
    assert set(mine) <= every, "run `make lock`"


@pytest.mark.parametrize("image", IMAGES)
def test_the_dockerfile_runs_as_nobody_on_a_base_that_can_be_chosen(image: str):
    directory, _ = IMAGES[image]
    text = (ROOT / directory / "Dockerfile").read_text()
    kind = "Deployment" if image == "operator" else "DaemonSet"
    security = render().one(kind)["spec"]["template"]["spec"]["securityContext"]
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in text
    assert f'ENTRYPOINT ["/opt/plimsoll/bin/plimsoll-{image}"]' in text
    assert re.search(r"^ARG BASE=", text, re.MULTILINE)
    assert text.count("FROM ${") == text.count("FROM ") == 2
    assert f"locks/{image}.lock" in text


LABELS = {
    "title": r"plimsoll-(operator|agent)",
    "description": r".+",
    "version": r"\$\{VERSION\}",
    "revision": r"\$\{REVISION\}",
    "source": r"\$\{SOURCE\}",
    "created": r"\$\{CREATED\}",
    "licenses": r"Apache-2\.0",
    "vendor": r".+",
    "base.name": r"\$\{BASE\}",
    "base.digest": r"\$\{BASE_DIGEST\}",
}


@pytest.mark.parametrize("image", IMAGES)
def test_the_dockerfile_labels_what_a_bill_of_materials_begins_with(image: str):
    text = (ROOT / IMAGES[image][0] / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    written = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', text))
    assert written.keys() == LABELS.keys()
    for label, value in written.items():
        assert re.fullmatch(LABELS[label], value), label
    arguments = set(re.findall(r"\$\{(\w+)\}", " ".join(written.values())))
    assert arguments <= set(re.findall(r"^ARG (\w+)", text, re.MULTILINE))


@pytest.mark.parametrize("script", ["kind/kind.sh", "kind/vm/make-images.sh"])
def test_whoever_builds_images_says_of_what_and_when(script: str):
    text = (ROOT / script).read_text()
    for argument in ("SOURCE=", "REVISION=", "CREATED="):
        assert f'--build-arg "{argument}' in text
    # What a base is made of is known where it is made here; else it is the builder's to resolve.
    assert ('--build-arg "BASE_DIGEST=sha256:' in text) == (script == "kind/vm/make-images.sh")


@pytest.mark.parametrize("image", IMAGES)
def test_the_ports_that_it_names_are_the_charts(image: str):
    directory, _ = IMAGES[image]
    exposed = re.search(r"^EXPOSE (.+)$", (ROOT / directory / "Dockerfile").read_text(), re.MULTILINE)[
        1
    ].split()
    kind = "Deployment" if image == "operator" else "DaemonSet"
    (container,) = render().one(kind)["spec"]["template"]["spec"]["containers"]
    assert [int(each) for each in exposed] == [each["containerPort"] for each in container["ports"]]
    assert OperatorSettings().metrics_port == 8080


def test_the_agent_takes_the_charts_flags():
    (container,) = render().one("DaemonSet")["spec"]["template"]["spec"]["containers"]
    done = subprocess.run(
        [Path(sys.executable).with_name("plimsoll-agent"), *container["args"], "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    named = {each.partition("=")[0] for each in container["args"] if each.startswith("--")}
    assert all(each in done.stdout for each in named)


@pytest.mark.parametrize("image", IMAGES)
def test_the_assembled_image_has_what_the_dockerfile_leaves_of_the_wheel(image: str):
    """What VM nodes run is made without docker, from the same wheel: the same packages, the same programs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    whole = {Path(each).name for each in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    text = (ROOT / IMAGES[image][0] / "Dockerfile").read_text()
    removed = set(re.findall(r"site-packages/(plimsoll\w*)", text))
    assert removed < whole
    assert assembled("packages_of", image) == whole - removed
    (kept,) = re.findall(r"find /opt/plimsoll/bin -type f (.*) -delete", text)
    programs = set(re.findall(r"! -name (\S+)", kept))
    assert assembled("scripts_of", image) == programs <= project["project"]["scripts"].keys()


def assembled(function: str, image: str) -> set[str]:
    """What a function of the script says of an image."""
    text = (ROOT / "kind/vm/make-images.sh").read_text()
    (line,) = re.findall(rf"^{function}\(\) .*$", text, re.MULTILINE)
    done = subprocess.run(
        ["bash", "-c", f"{line}; {function} {image}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())
