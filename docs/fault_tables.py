"""The table of faults in `coordination.md`: docs/results/faults.json in, Markdown out, between its marks."""

import re
from collections.abc import Mapping
from typing import Any

MARKED = re.compile(r"(<!-- faults: made by docs/generate.py -->\n).*?(<!-- end of faults -->)", re.DOTALL)
NOT_YET = "Not measured yet: run `make bench-faults` and `make docs-results`.\n"
HEAD = "| fault | injected | survived | lost | of | test |\n| --- | --- | --- | --- | --- | --- |\n"
Document = Mapping[str, Any]


def with_faults(page: str, document: Document | None) -> str:
    """The page with the table of these results between its marks."""
    made = NOT_YET if document is None else _table(document)
    return MARKED.sub(lambda marks: f"{marks[1]}{made}{marks[2]}", page)


def _table(document: Document) -> str:
    lines = [
        f"| {each['fault']} | {each['injected']:,} | {each['survived']:,} | {each['lost']:,} "
        f"| {each['of']:,} {each['what']} | `{each['test'].removeprefix('tests/')}` |\n"
        for each in document["faults"]
    ]
    missing = [f"- {row['name']}: {row['why']}\n" for row in document["rows"] if row["value"] is None]
    ran = f"Commit `{document['commit']}`, {document['seconds']:.0f} s.{document.get('age', '')}\n\n"
    return ran + HEAD + "".join(lines) + ("\n" + "".join(missing) if missing else "")
