"""What docs/plan.md shows of `plimsoll plan`: the command's own output between two marks on the page.

python docs/plan_shown.py
"""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "plan.md"
COMMAND = ("plan", "sample", "--nodes", "6", "--weeks", "6")
MARKED = re.compile(r"(<!-- output -->\n).*?(<!-- end of output -->)", re.DOTALL)


def with_output(page: str, output: str) -> str:
    """The page with this output between its marks; empty lines and blanks at ends are left out."""
    lines = "".join(f"{line.rstrip()}\n" for line in output.splitlines() if line.strip())
    return MARKED.sub(lambda marks: f"{marks[1]}```text\n{lines}```\n{marks[2]}", page)


def shown(page: str) -> str:
    """What stands between the marks."""
    found = MARKED.search(page)
    return "" if found is None else found[0]


def output() -> str:
    """What the command says now."""
    command = [sys.executable, "-m", "plimsoll_cli.main", *COMMAND]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    return done.stdout


if __name__ == "__main__":
    PAGE.write_text(with_output(PAGE.read_text("utf-8"), output()), "utf-8")
