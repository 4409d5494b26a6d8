"""A recording as a page and in a terminal.

In: a `Recording`. Out: HTML that stands alone (the picture, and the figures in a table for who cannot see
it), or text: half blocks in colour where the output is a terminal, shades of grey where not.
"""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from plimsoll.pages.recording import Axis, Recording
from plimsoll_nodeagent.show.scale import as_share, bytes_text, colours, pooled, seconds_text, summary
from plimsoll_nodeagent.show.svg import svg

SHADES = " .:-=+*#%@"
ROWS, COLUMNS = 24, 78

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#1b1f24;background:#f5f7f9;margin:0}
main{max-width:1000px;margin:24px auto;background:#fff;border:1px solid #d9dee4;
border-radius:8px;padding:16px 20px}
svg{width:100%;height:auto}table{border-collapse:collapse;margin:8px 0 16px}
th,td{padding:4px 18px 4px 0;text-align:left;border-bottom:1px solid #d9dee4}
td{font-variant-numeric:tabular-nums}
p{color:#5b6470}"""


def figures(recording: Recording) -> list[tuple[str, str]]:
    """The figures of the report, each with its name."""
    working, usage = summary(recording.working_set_bytes().tolist()), summary(recording.usage_bytes.tolist())
    ages, amounts = recording.idle_tail()
    total = float(amounts[0]) if len(amounts) else 0.0
    out = [
        ("looks", f"{len(recording.seconds)} over {seconds_text(round(float(recording.seconds[-1]), 1))}"),
        ("usage, mean and highest", f"{bytes_text(usage[0])}, {bytes_text(usage[1])}"),
        ("working set, mean and highest", f"{bytes_text(working[0])}, {bytes_text(working[1])}"),
        ("limit", bytes_text(float(recording.limit_bytes[-1]))),
        ("swapped out at the end", bytes_text(float(recording.swap_bytes[-1]))),
    ]
    if math.isfinite(working[1]) and math.isfinite(usage[1]) and usage[1] > 0:
        out.append(("highest working set of highest usage", f"{working[1] / usage[1]:.0%}"))
    for seconds in (30.0, 120.0, 600.0):
        at = int(np.searchsorted(ages, seconds))
        amount = float(amounts[at]) if at < len(ages) else 0.0
        share = f" ({amount / total:.0%})" if total else ""
        out.append(
            (f"idle for {seconds_text(seconds)} or longer, at the end", f"{bytes_text(amount)}{share}")
        )
    return out


def html(recording: Recording) -> str:
    """The page."""
    name = escape(recording.name or "a container")
    rows = "".join(
        f"<tr><th scope=row>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in figures(recording)
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Memory of {name}</title>"
        f"<style>{_STYLE}</style>"
        f"<main>{svg(recording)}<table>{rows}</table>"
        "<p>Recorded by plimsoll-agent. Holes between mappings are left out of the address axis.</p>"
        "</main></html>\n"
    )


def terminal(recording: Recording, *, colour: bool, columns: int = COLUMNS, rows: int = ROWS) -> str:
    """Text of at most so many columns; `colour` needs a terminal that shows 24-bit colours."""
    is_bytes = recording.axis is Axis.IDLE_AGE
    grid = pooled(as_share(recording.heat, is_bytes=is_bytes), columns - 10, 2 * rows if colour else rows)
    picture = grid.T[::-1]
    lines = _coloured(picture) if colour else _shaded(picture)
    top = "oldest" if is_bytes else bytes_text(float(recording.edges[-1]))
    bottom = "0 s" if is_bytes else "0 B"
    labels = [top, *[""] * (len(lines) - 2), bottom] if len(lines) > 1 else [top]
    axis = "idle age" if is_bytes else "address"
    head = f"{recording.name or 'a container'}: {axis} upward, time to the right"
    span = seconds_text(round(float(recording.seconds[-1]), 1))
    body = [f"{label:>9} {line}" for label, line in zip(labels, lines, strict=True)]
    foot = " " * 10 + "0 s" + span.rjust(max(1, picture.shape[1] - 3))
    told = [f"{name:<46} {value}" for name, value in figures(recording)]
    return "\n".join([head, *body, foot, "", *told, ""])


def _shaded(picture: np.ndarray) -> list[str]:
    level = np.clip((picture * (len(SHADES) - 1)).round().astype(int), 0, len(SHADES) - 1)
    return ["".join(SHADES[each] for each in row) for row in level]


def _coloured(picture: np.ndarray) -> list[str]:
    pixels = colours(picture)
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    return [
        "".join(map(_half_block, upper, lower)) + "\x1b[0m"
        for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)
    ]


def _half_block(upper: Sequence[int], lower: Sequence[int]) -> str:
    r, g, b = upper
    x, y, z = lower
    return f"\x1b[38;2;{r};{g};{b}m\x1b[48;2;{x};{y};{z}m▀"
