"""What replicas of one workload deviate by together, and what becomes of it on kube nodes.

In: errors of replicas by workload ("kin"), hour by hour. Out: the variance that all of a kin have in common
(`CommonFactor`); and, of pods on nodes, what the pods of a kin on one node have in common already
(`Together`), for a surge that reaches n replicas counts n times in the deviation of their sum, not sqrt(n).

Source: the variance component between classes of a one-way random effects model, whose estimator without bias
is the mean product of the errors of two different members (Fisher, "Statistical Methods for Research
Workers", 1925, section 38: intraclass correlation).
"""

import numpy as np
import numpy.typing as npt

from plimsoll.usage.grown import grown

FloatArray = npt.NDArray[np.float64]
KinArray = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]

NO_KIN = -1
# Of a workload of which nothing is known half of the variance is taken to be in common (nothing speaks for
# either end), believed as long as so many hours of two replicas or more have been judged.
PRIOR_SHARE = 0.5
PRIOR_HOURS = 24.0
USUAL_PRIOR_HOURS = 6.0  # of no difference from what is said, before one is believed to be the rule
HOUR_FADE = 0.5 ** (1 / (14 * 24))  # half-life of a fortnight, as of the errors of forecasts (`lanes`)
ROOTS = 2  # standard deviation, and cube root of the third moment


class CommonFactor:
    """Learns, for each of k numbered kins, the variance that its replicas have in common."""

    def __init__(self, kins: int = 0) -> None:
        self._products: FloatArray = np.zeros(kins)
        self._hours: FloatArray = np.zeros(kins)  # judged, of two replicas or more

    def grow(self, kins: int) -> None:
        """From now on there are at least so many."""
        self._products, self._hours = grown(self._products, kins, 0.0), grown(self._hours, kins, 0.0)

    def forget(self, kins: npt.NDArray[np.integer]) -> None:
        """These numbers stand for other workloads from now on."""
        self._products[kins] = self._hours[kins] = 0.0

    def fade(self, by: float) -> None:
        """Time has passed."""
        self._products *= by
        self._hours *= by

    def take(self, kin: npt.NDArray[np.integer], errors: FloatArray) -> None:
        """Take in errors [n, hours] of replicas of these kins [n], bytes; NaN: not known."""
        known = np.isfinite(errors)
        wrong = np.where(known, errors, 0.0)
        shape = (len(self._hours), errors.shape[1])
        total, squares, count = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        np.add.at(total, kin, wrong)
        np.add.at(squares, kin, wrong**2)
        np.add.at(count, kin, known)
        several = count > 1
        pairs = np.where(several, count * (count - 1.0), 1.0)
        self._products += np.where(several, (total**2 - squares) / pairs, 0.0).sum(axis=1)
        self._hours += several.sum(axis=1)

    def variance(self, kin: npt.NDArray[np.integer], variance: FloatArray) -> FloatArray:
        """[n] of the whole variance [n] of one replica of each of these kins, what is in common."""
        known = self._products[kin] + PRIOR_HOURS * PRIOR_SHARE * variance
        return np.asarray(np.clip(known / (self._hours[kin] + PRIOR_HOURS), 0.0, variance))


class ReplicaErrors:
    """The same of replicas that share a row which is told the largest of them, hour by hour.

    That most of them are always below what is said is no deviation, and is left out.
    """

    def __init__(self, kins: int = 0) -> None:
        self._factor = CommonFactor(kins)
        self._beside: FloatArray = np.zeros((kins, 2))  # sum of mean errors, hours of two or more; faded

    def grow(self, kins: int) -> None:
        """From now on there are at least so many rows."""
        self._factor.grow(kins)
        self._beside = grown(self._beside, kins, 0.0)

    def forget(self, kins: npt.NDArray[np.integer]) -> None:
        """These numbers stand for other rows from now on."""
        self._factor.forget(kins)
        self._beside[kins] = 0.0

    def hour(self, kin: npt.NDArray[np.integer], errors: FloatArray) -> None:
        """Take in an hour: replicas of these rows [n] were beyond what was said by `errors` [n] bytes."""
        kin, errors = kin[np.isfinite(errors)], errors[np.isfinite(errors)]
        total, hours = self._beside[kin].T
        usual = np.minimum(total / (hours + USUAL_PRIOR_HOURS), 0.0)
        self._factor.fade(HOUR_FADE)
        self._factor.take(kin, (errors - usual)[:, None])
        sums, count = np.zeros(len(self._beside)), np.zeros(len(self._beside))
        np.add.at(sums, kin, errors)
        np.add.at(count, kin, 1)
        several = count > 1
        self._beside *= HOUR_FADE
        self._beside[several] += np.column_stack([sums[several] / count[several], np.ones(several.sum())])

    def variance(self, kin: npt.NDArray[np.integer], variance: FloatArray) -> FloatArray:
        """As of `CommonFactor`."""
        return self._factor.variance(kin, variance)


class Together:
    """By kin and kube node: sums of what its pods there deviate by together, as `roots` of their moments."""

    def __init__(self) -> None:
        # Places ascending, and [k, ROOTS, lanes]. Arrays are replaced, never changed, so a copy costs little.
        self._of: dict[int, tuple[Places, FloatArray]] = {}

    def copy(self) -> "Together":
        """The same, to be changed by itself."""
        made = Together()
        made._of = dict(self._of)
        return made

    def at(self, kin: int, places: Places, lanes: int) -> FloatArray:
        """[n, ROOTS, lanes] of a kin on these nodes."""
        found = np.zeros((len(places), ROOTS, lanes))
        held = self._of.get(kin)
        if held is not None and len(held[0]):
            at = np.minimum(np.searchsorted(held[0], places), len(held[0]) - 1)
            there = held[0][at] == places
            found[there] = held[1][at[there]]
        return found

    def holds(self, kin: int, places: Places) -> npt.NDArray[np.bool_]:
        """[n] whether pods of a kin are on these nodes."""
        held = self._of.get(kin)
        return np.zeros(len(places), dtype=np.bool_) if held is None else np.isin(places, held[0])

    def put(self, kin: int, place: int, part: FloatArray) -> None:
        """From now on a kin has these roots [ROOTS, lanes] on a node."""
        places, parts = self._of.get(kin, (np.empty(0, dtype=np.intp), np.empty((0, *part.shape))))
        at = int(np.searchsorted(places, place))
        if at < len(places) and places[at] == place:
            parts = parts.copy()
            parts[at] = part
        else:
            places, parts = np.insert(places, at, place), np.insert(parts, at, part, axis=0)
        self._of[kin] = places, parts

    def gather(
        self, kin: KinArray, places: Places, parts: FloatArray
    ) -> tuple[Places, FloatArray, FloatArray]:
        """Take over pods [n] with their roots [n, ROOTS, lanes], all there are of these kins.

        Out: [k] places, once for each kin on them, and [k, lanes] by how much more the variance and the third
        moment there are than if each deviated by itself.
        """
        order = np.lexsort((places, kin))
        kin, places, parts = kin[order], places[order], parts[order]
        first = np.flatnonzero(np.diff(kin, prepend=kin[:1] - 1) | np.diff(places, prepend=places[:1] - 1))
        if not len(first):
            return places, parts[:, 0], parts[:, 1]
        total = np.add.reduceat(parts, first)
        alone = np.stack([parts[:, 0] ** 2, parts[:, 1] ** 3], axis=1)
        alone = np.add.reduceat(alone, first)
        kin, places = kin[first], places[first]
        starts = np.flatnonzero(np.diff(kin, prepend=kin[:1] - 1))
        for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(kin)], strict=True):
            self._of[int(kin[begin])] = places[begin:end], total[begin:end]
        return places, total[:, 0] ** 2 - alone[:, 0], total[:, 1] ** 3 - alone[:, 1]


def roots(shared_variance: FloatArray, variance: FloatArray, third: FloatArray) -> FloatArray:
    """[n, ROOTS, lanes] of what n pods share: as skewed as all that they deviate by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(variance > 0, shared_variance / variance, 0.0)
    deviation = np.sqrt(np.maximum(shared_variance, 0.0))
    return np.stack([deviation, np.cbrt(third) * np.sqrt(np.clip(share, 0.0, 1.0))], axis=1)


def more_by(there: FloatArray, one: FloatArray) -> tuple[FloatArray, FloatArray]:
    """By how much more than its own a pod with roots `one` adds to variance and third moment of a node with
    such roots `there` [..., ROOTS, lanes] of the pod's kin.
    """
    deviation, skew = there[..., 0, :], there[..., 1, :]
    variance = 2.0 * deviation * one[..., 0, :]
    third = 3.0 * skew * one[..., 1, :] * (skew + one[..., 1, :])
    return variance, third
