"""A recording as one picture: heat over time and place, memory over time, and how long what is idle has been
so.

In: a `Recording`. Out: SVG text that stands alone: no script, no font, no file beside it. The heat map is one
embedded PNG (a rectangle for each cell would make megabytes); all else is lines and words.
"""

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from plimsoll.pages.recording import Axis, Recording
from plimsoll_nodeagent.show.scale import (
    Pixels,
    as_share,
    byte_ticks,
    bytes_text,
    colours,
    pooled,
    second_ticks,
    seconds_text,
)

WIDTH, HEIGHT = 1020, 760
LEFT, PLOT = 96, 720
HEAT_TOP, HEAT_HEIGHT = 84, 330
LINES_TOP, LINES_HEIGHT = 464, 110
TAIL_TOP, TAIL_HEIGHT = 628, 80
MOST_ROWS, MOST_COLUMNS = 330, 714
INK, SOFT, GRID = "#1b1f24", "#5b6470", "#d9dee4"
USAGE, WORKING, LIMIT, SWAP = "#1f6feb", "#d4570a", "#b3122e", "#7a5af8"
FloatArray = npt.NDArray[np.float64]


def svg(recording: Recording) -> str:
    """The picture. Raises ValueError for a recording without an epoch."""
    if not len(recording.seconds):
        raise ValueError("the recording holds no epoch")
    parts = [_head(recording), *_heat(recording), *_scale(recording), *_memory(recording), *_tail(recording)]
    return "\n".join([*parts, "</svg>", ""])


def _head(recording: Recording) -> str:
    span = seconds_text(round(float(recording.seconds[-1] - min(0.0, recording.seconds[0])), 1))
    where = "address" if recording.axis is Axis.ADDRESS else "idle age"
    title = escape(recording.name or "a container")
    size = bytes_text(float(recording.sizes_bytes.sum())) if recording.axis is Axis.ADDRESS else ""
    told = f"{len(recording.seconds)} looks over {span}, by {where}" + (
        f"; {size} of memory seen" if size else ""
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' width="{WIDTH}" height="{HEIGHT}"'
        f' font-family="system-ui, sans-serif" font-size="12" fill="{INK}" role="img">'
        f"<title>Memory of {title}</title>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
        f'<text x="{LEFT}" y="34" font-size="19" font-weight="600">'
        f"Which memory of {title} is used, and when</text>"
        f'<text x="{LEFT}" y="56" fill="{SOFT}">{told}</text>'
    )


def _heat(recording: Recording) -> list[str]:
    is_bytes = recording.axis is Axis.IDLE_AGE
    grid = pooled(as_share(recording.heat, is_bytes=is_bytes), MOST_COLUMNS, MOST_ROWS)
    image = base64.b64encode(png(colours(grid.T[::-1]))).decode()
    out = [
        _image(LEFT, HEAT_TOP, PLOT, HEAT_HEIGHT, image),
        _frame(HEAT_TOP, HEAT_HEIGHT),
        _label_y(HEAT_TOP, HEAT_HEIGHT, "idle for" if is_bytes else "offset in memory"),
        *_time_axis(recording, HEAT_TOP + HEAT_HEIGHT, grid=False),
    ]
    for at, text in _heat_ticks(recording):
        y = HEAT_TOP + HEAT_HEIGHT * (1.0 - at)
        out.append(f'<path d="M{LEFT - 5} {y:.1f}h5" stroke="{SOFT}"/>')
        out.append(f'<text x="{LEFT - 9}" y="{y + 4:.1f}" text-anchor="end" fill="{SOFT}">{text}</text>')
    return out


def _heat_ticks(recording: Recording) -> list[tuple[float, str]]:
    edges = recording.edges
    if recording.axis is Axis.ADDRESS:
        most = float(edges[-1])
        return [(each / most, bytes_text(each)) for each in byte_ticks(most)]
    parts = len(edges) - 1
    every = max(1, parts // 8)
    return [(row / parts, seconds_text(float(edges[row]))) for row in range(0, parts, every)]


def _scale(recording: Recording) -> list[str]:
    x, height, steps = LEFT + PLOT + 24, 180, 60
    bar = base64.b64encode(png(colours(np.linspace(1, 0, steps)[:, None]))).decode()
    is_bytes = recording.axis is Axis.IDLE_AGE
    most = float(recording.heat.max(initial=0.0))
    words = [(0.0, "0"), (0.5, bytes_text(most / 4)), (1.0, bytes_text(most))] if is_bytes else []
    words = words or [(0.0, "never"), (0.5, "half the looks"), (1.0, "every look")]
    head = "memory of that age" if is_bytes else "touched"
    out = [
        f'<text x="{x}" y="{HEAT_TOP + 10}" font-weight="600">{head}</text>',
        _image(x, HEAT_TOP + 22, 16, height, bar),
    ]
    for at, text in words:
        y = HEAT_TOP + 22 + height * (1.0 - at)
        out.append(f'<text x="{x + 23}" y="{y + 4:.1f}" fill="{SOFT}">{text}</text>')
    return out


def _memory(recording: Recording) -> list[str]:
    working = recording.working_set_bytes()
    limits = recording.limit_bytes
    known = [working, recording.usage_bytes, recording.swap_bytes]
    top = max((float(each[np.isfinite(each)].max(initial=0.0)) for each in known), default=0.0)
    # A limit far above would press all else into the ground: then it is named and not drawn.
    limit = float(limits[np.isfinite(limits)].max(initial=0.0))
    drawn = 0.0 < limit <= 4.0 * top
    top = max(top, limit if drawn else 0.0, 1.0) * 1.08
    name = "working set (a look)" if recording.axis is Axis.ADDRESS else "working set (1 min)"
    lines = [(recording.usage_bytes, USAGE, "usage (resident)", ""), (working, WORKING, name, "")]
    if bool(np.nanmax(np.nan_to_num(recording.swap_bytes), initial=0.0) > 0):
        lines.append((recording.swap_bytes, SWAP, "swapped out", ""))
    if drawn:
        lines.append((np.where(np.isfinite(limits), limits, np.nan), LIMIT, "limit", "6 4"))
    out = [_frame(LINES_TOP, LINES_HEIGHT), _label_y(LINES_TOP, LINES_HEIGHT, "memory")]
    out += _byte_axis(top, LINES_TOP, LINES_HEIGHT)
    out += _time_axis(recording, LINES_TOP + LINES_HEIGHT, grid=True)
    for row, (values, colour, text, dash) in enumerate(lines):
        out.append(_line(_x_of(recording), values, top, colour, dash))
        y = LINES_TOP + 14 + 19 * row
        out.append(
            f'<path d="M{LEFT + PLOT + 24} {y - 4}h18" stroke="{colour}" stroke-width="2.5"'
            f' stroke-dasharray="{dash or "none"}"/>'
        )
        out.append(f'<text x="{LEFT + PLOT + 48}" y="{y}">{text}</text>')
    if not drawn:
        text = f"limit {bytes_text(limit)}" if limit > 0 else "no limit"
        out.append(
            f'<text x="{LEFT + PLOT + 24}" y="{LINES_TOP + 14 + 19 * len(lines)}" fill="{SOFT}">{text}</text>'
        )
    return out


def _tail(recording: Recording) -> list[str]:
    ages, amounts = recording.idle_tail()
    out = [_frame(TAIL_TOP, TAIL_HEIGHT), _label_y(TAIL_TOP, TAIL_HEIGHT, "idle memory")]
    total = float(amounts[0]) if len(amounts) else 0.0
    if total <= 0.0:
        return [
            *out,
            f'<text x="{LEFT + 12}" y="{TAIL_TOP + 30}" fill="{SOFT}">nothing was ever touched</text>',
        ]
    least, most = 1.0, max(10.0, float(ages.max()) * 1.2)
    span = math.log(most / least)
    x = LEFT + PLOT * np.log(np.clip(ages, least, most) / least) / span
    out += _byte_axis(total * 1.08, TAIL_TOP, TAIL_HEIGHT, about=2)
    for tick in (1, 5, 15, 60, 300, 900, 3600, 14400, 86400):
        if tick <= most:
            at = LEFT + PLOT * math.log(tick / least) / span
            out.append(f'<path d="M{at:.1f} {TAIL_TOP}v{TAIL_HEIGHT}" stroke="{GRID}"/>')
            words = seconds_text(tick)
            y = TAIL_TOP + TAIL_HEIGHT + 17
            out.append(f'<text x="{at:.1f}" y="{y}" text-anchor="middle" fill="{SOFT}">{words}</text>')
    heights: FloatArray = TAIL_TOP + TAIL_HEIGHT * (1.0 - amounts / (total * 1.08))
    points = "".join(f"H{a:.1f}V{b:.1f}" for a, b in zip(x, heights, strict=True))
    bottom = TAIL_TOP + TAIL_HEIGHT
    shape = f"M{LEFT} {bottom}V{heights[0]:.1f}{points}V{bottom}Z"
    out.append(
        f'<path d="{shape}" fill="{WORKING}" fill-opacity="0.25" stroke="{WORKING}" stroke-width="1.5"/>'
    )
    middle = LEFT + PLOT / 2
    said = "idle for at least, at the end of the recording"
    out.append(f'<text x="{middle}" y="{bottom + 36}" text-anchor="middle">{said}</text>')
    for row, text in enumerate(_told(ages, amounts)):
        out.append(f'<text x="{LEFT + PLOT + 24}" y="{TAIL_TOP + 14 + 19 * row}" fill="{SOFT}">{text}</text>')
    return out


def _told(ages: FloatArray, amounts: FloatArray) -> list[str]:
    total = float(amounts[0])
    out = []
    for seconds in (30.0, 120.0, 600.0):
        at = int(np.searchsorted(ages, seconds))
        share = float(amounts[at]) / total if at < len(ages) else 0.0
        out.append(f"{share:.0%} idle {seconds_text(seconds)}+")
    return out


def _image(x: float, y: float, width: float, height: float, data: str) -> str:
    return (
        f'<image x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none"'
        f' style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
    )


def _frame(top: float, height: float) -> str:
    return f'<rect x="{LEFT}" y="{top}" width="{PLOT}" height="{height}" fill="none" stroke="{SOFT}"/>'


def _label_y(top: float, height: float, text: str) -> str:
    y = top + height / 2
    return f'<text transform="translate(22 {y}) rotate(-90)" text-anchor="middle">{text}</text>'


def _x_of(recording: Recording) -> FloatArray:
    first, last = _first(recording), float(recording.seconds[-1])
    return LEFT + PLOT * (recording.seconds - first) / max(last - first, 1e-9)


def _first(recording: Recording) -> float:
    return min(0.0, float(recording.seconds[0]))


def _time_axis(recording: Recording, y: float, *, grid: bool) -> list[str]:
    first, last = _first(recording), float(recording.seconds[-1])
    out = []
    for tick in second_ticks(first, last):
        x = LEFT + PLOT * (tick - first) / max(last - first, 1e-9)
        length = -LINES_HEIGHT if grid else 5
        out.append(f'<path d="M{x:.1f} {y}v{length}" stroke="{GRID if grid else SOFT}"/>')
        words = seconds_text(tick)
        out.append(f'<text x="{x:.1f}" y="{y + 18}" text-anchor="middle" fill="{SOFT}">{words}</text>')
    out.append(f'<text x="{LEFT + PLOT}" y="{y + 34}" text-anchor="end">time since the start</text>')
    return out


def _byte_axis(top: float, y: float, height: float, about: int = 3) -> list[str]:
    out = []
    for tick in byte_ticks(top, about):
        at = y + height * (1.0 - tick / top)
        out.append(f'<path d="M{LEFT} {at:.1f}h{PLOT}" stroke="{GRID}"/>')
        out.append(
            f'<text x="{LEFT - 9}" y="{at + 4:.1f}" text-anchor="end" fill="{SOFT}">{bytes_text(tick)}</text>'
        )
    return out


def _line(x: FloatArray, values: FloatArray, top: float, colour: str, dash: str) -> str:
    path, pen = [], "M"
    for a, value in zip(x, values, strict=True):
        if not math.isfinite(value):
            pen = "M"
            continue
        path.append(f"{pen}{a:.1f} {LINES_TOP + LINES_HEIGHT * (1.0 - value / top):.1f}")
        pen = "L"
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'


def png(pixels: Pixels) -> bytes:
    """A picture of uint8[rows, columns, 3] as a PNG file."""
    rows, columns, _ = pixels.shape
    raw = np.concatenate([np.zeros((rows, 1), np.uint8), pixels.reshape(rows, -1)], axis=1).tobytes()
    head = struct.pack(">2I5B", columns, rows, 8, 2, 0, 0, 0)
    chunks: Sequence[tuple[bytes, bytes]] = (
        (b"IHDR", head),
        (b"IDAT", zlib.compress(raw, 9)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body
