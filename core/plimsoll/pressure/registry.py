"""Pressure predictors by name, as a policy, a bench or `set-policy` names them.

`DEFAULT` is what the comparison of `make bench-pressure` chose (docs/decisions/0071).
"""

from plimsoll.pressure.guarded import Guarded
from plimsoll.pressure.mlp4 import Mlp4
from plimsoll.pressure.protocol import PressurePredictor
from plimsoll.pressure.reactive import Exhaustion, Persistence
from plimsoll.pressure.sample import ScopeKind
from plimsoll.pressure.weights import Weights

DEFAULT = "boosted"
NAMES = ("persistence", "exhaustion", "mlp4", "mlp4-pretrained", "gru", "boosted")


def predictor(name: str, kind: ScopeKind, weights: Weights | None, seed: int = 0) -> PressurePredictor:
    """A fresh predictor for one scope; `ValueError` names one that is not there.

    Without weights the networks leave the word to the plain forecasters, and `mlp4-pretrained` starts blind.
    """
    match name:
        case "persistence":
            return Persistence()
        case "exhaustion":
            return Exhaustion()
        case "mlp4":
            return Mlp4(seed=seed)
        case "mlp4-pretrained":
            return Mlp4(None if weights is None else weights.mlp4, seed, name)
        case "gru":
            return Guarded(name, None if weights is None else weights.gru, kind)
        case "boosted":
            return Guarded(name, None if weights is None else weights.boosted, kind)
    raise ValueError(f"no pressure predictor {name!r}: there are {', '.join(NAMES)}")
