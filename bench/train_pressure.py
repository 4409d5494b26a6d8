"""Fits what ships with the pressure room: `core/plimsoll/pressure/weights.json`, with a checksum and where
it is from.

In: recordings of a real kernel (`--recordings FILES`, from `record_pressure.py`), or none: then the MODEL
of a kernel makes the runs, and the provenance says so. With recordings the model's runs are added with
`--with-model`. Seeded: the same runs give the same file.

    make train-pressure [RECORDINGS="files"] [BENCH_ARGS="--seeds 8"]
"""

import argparse
from collections import Counter
from pathlib import Path

from plimsoll.pressure import weights as shipped
from plimsoll.pressure.weights import Weights, format_weights, parse_weights
from pressure_data import modelled, recorded
from pressure_training import prepared, train

SEED = 7
SEEDS = 8
OUT = Path(shipped.__file__).parent / "weights.json"


def main() -> None:
    """Read or make runs, train, write."""
    parser = argparse.ArgumentParser(description="fit the weights that ship with plimsoll.pressure")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--recordings", type=Path, nargs="*", default=[])
    parser.add_argument("--with-model", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    runs = list(recorded(arguments.recordings))
    if not runs or arguments.with_model:
        runs += modelled(range(arguments.seeds))
    trained = train([prepared(run) for run in runs], SEED)
    sources = Counter(run.source for run in runs)
    real = sorted(name for name in sources if name != "model")
    provenance = {
        "made_by": "bench/train_pressure.py",
        "data": "recordings of a real kernel"
        if real
        else "a model of a kernel (bench/pressure_kernel.py), no measurement",
        "runs": dict(sources),
        "patterns": sorted({run.pattern for run in runs}),
        "seed": SEED,
    }
    text = format_weights(Weights(trained.boosted, trained.gru, trained.mlp4, provenance))
    parse_weights(text)
    arguments.out.write_text(text, encoding="utf-8")
    print(f"wrote {arguments.out.name}: {provenance}")


if __name__ == "__main__":
    main()
