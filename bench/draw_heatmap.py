"""The heat maps in the docs: a recorded page trace as the agent's own recording, drawn by its own command.

    python bench/draw_heatmap.py TRACE.pgt --output docs/heatmap-redis.svg

In: a page trace. Out: what `plimsoll-agent heatmap --svg` makes of it. A trace has no clock: so many raw
references are taken for a second (`--references-per-second`), which the picture's name says. Memory is put
together in parts of `--pages-per-part` pages, as a sampler of regions sees it.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from plimsoll.pages.epochs import cut
from plimsoll.pages.recording import Axis, Recording
from plimsoll_cli.traces.pgt import read_pages
from plimsoll_nodeagent.main import main as agent
from plimsoll_nodeagent.show.files import save

PAGE_BYTES = 4096


def recording(trace: Path, epochs: int, pages_per_part: int, references_per_second: float) -> Recording:
    """The trace as a sampler would have recorded it: a part is as hot as the share of its pages touched."""
    pages = read_pages(trace)
    view = cut(pages, epochs)
    parts = -(-view.footprint_pages // pages_per_part)
    padded = np.zeros((epochs, parts * pages_per_part), np.float32)
    padded[:, : view.footprint_pages] = view.accessed
    heat = padded.reshape(epochs, parts, pages_per_part).mean(axis=2)
    seconds = np.linspace(0.0, float(pages.gap.sum()) / references_per_second, epochs + 1)[1:]
    seen = np.maximum.accumulate(view.accessed, axis=0).sum(axis=1) * PAGE_BYTES
    unknown = np.full(epochs, np.nan)
    edges = np.arange(parts + 1) * float(pages_per_part * PAGE_BYTES)
    limit = np.full(epochs, 1.25 * float(seen[-1]))
    name = f"{trace.stem} (recorded trace)"
    return Recording(Axis.ADDRESS, seconds, edges, heat, seen.astype(float), limit, unknown, name)


def main() -> None:
    """Convert and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trace", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--pages-per-part", type=int, default=32)
    parser.add_argument("--references-per-second", type=float, default=1e7)
    options = parser.parse_args()
    made = recording(options.trace, options.epochs, options.pages_per_part, options.references_per_second)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "recording.npz"
        save(made, path)
        flag = "--html" if options.output.suffix == ".html" else "--svg"
        raise SystemExit(agent(["heatmap", str(path), flag, str(options.output)]))


if __name__ == "__main__":
    main()
