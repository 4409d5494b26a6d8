"""Three sets of values and all that they render to, in files that a reviewer reads.

`make chart-golden` writes them anew. Certificates are masked, and the CRDs left out: they are compared with
the operator's own.
"""

import os
import re
from pathlib import Path

import pytest

from builders.chart import VALUE_SETS, Rendered, render

GOLDEN = Path(__file__).with_name("golden")
WRITE = "PLIMSOLL_WRITE_GOLDEN"
BASE64 = re.compile(r"((?:ca\.crt|tls\.crt|tls\.key|caBundle): )[A-Za-z0-9+/=]{100,}")


def as_golden(rendered: Rendered) -> str:
    kept = {name: text for name, text in rendered.texts.items() if not name.endswith("crds.yaml")}
    parts = (f"#### {name}\n{text.strip()}\n" for name, text in sorted(kept.items()) if text.strip())
    return BASE64.sub(r"\1<made>", "\n".join(parts))


@pytest.mark.parametrize("name", VALUE_SETS)
def test_renders_what_was_reviewed(name: str):
    path = GOLDEN / f"{name}.yaml"
    text = as_golden(render(VALUE_SETS[name]))
    if os.environ.get(WRITE):
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} is stale: read the difference, then `make chart-golden`"


def test_no_other_files_lie_there():
    assert {each.stem for each in GOLDEN.iterdir()} == set(VALUE_SETS)
