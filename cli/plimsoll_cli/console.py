"""The one kind of console that commands print on: text is shown as it stands.

In: what rich's Console takes. Out: a console that takes no `[word]` for markup and no `:word:` for a picture,
since names of series, workloads and policies are anybody's. Imported when something is printed: rich is slow.
"""

from typing import Any

from rich.console import Console


class PlainConsole(Console):
    """Rich's console without markup and emoji."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - rich's own
        super().__init__(markup=False, emoji=False, **options)
