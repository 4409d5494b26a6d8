"""Go's `math.Log`, `math.Exp2` and `math.Pow`, operation by operation, for floats and for arrays.

VPA puts a value into a bucket by a logarithm and weighs it by a power of two. The C library's results differ
from Go's in the last bit for some arguments, and near a bucket's edge that is another bucket: bit-compatible
means Go's own arithmetic. Source: Go 1.26 src/math/{log,log_amd64.s,exp,pow}.go (after FreeBSD's e_log.c and
e_exp.c), as it is on amd64; on arm64 Go may fuse multiply and add, and VPA itself differ in last bits.
"""

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Number = TypeVar("Number", float, Float64Array)

_LN2_HI = 6.93147180369123816490e-01
_LN2_LO = 1.90821492927058770002e-10
_SQRT2_HALF = 7.07106781186547524401e-01
_L = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_P = (
    1.66666666666666657415e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)


def log(x: float) -> float:
    """Natural logarithm of a finite x > 0."""
    fraction, exponent = math.frexp(x)
    if fraction <= _SQRT2_HALF:
        fraction, exponent = fraction * 2, exponent - 1
    return _log_reduced(fraction - 1, float(exponent))


def log_array(x: Float64Array) -> Float64Array:
    """Natural logarithm of finite x > 0, element by element."""
    fraction, exponent = np.frexp(x)
    low = fraction <= _SQRT2_HALF
    return _log_reduced(np.where(low, fraction * 2, fraction) - 1, (exponent - low).astype(np.float64))


def _log_reduced(f: Number, k: Number) -> Number:
    s = f / (2 + f)
    s2 = s * s
    s4 = s2 * s2
    t1 = s2 * (_L[0] + s4 * (_L[2] + s4 * (_L[4] + s4 * _L[6])))
    t2 = s4 * (_L[1] + s4 * (_L[3] + s4 * _L[5]))
    hfsq = 0.5 * f * f
    return k * _LN2_HI - ((hfsq - (s * (hfsq + (t1 + t2)) + k * _LN2_LO)) - f)


def exp2_array(x: Float64Array) -> Float64Array:
    """2**x for x <= 1024, element by element."""
    k = np.trunc(x + np.copysign(0.5, x))
    power = np.ldexp(_exp_reduced(x - k), np.maximum(k, -5000).astype(np.int32))
    return np.where(x < -1074, 0.0, power)


def _exp_reduced(t: Number) -> Number:
    hi = t * _LN2_HI
    lo = -t * _LN2_LO
    r = hi - lo
    t = r * r
    c = r - t * (_P[0] + t * (_P[1] + t * (_P[2] + t * (_P[3] + t * _P[4]))))
    return 1 - ((lo - (r * c) / (2 - c)) - hi)


def power(x: float, y: int) -> float:
    """x**y for x > 0 and a whole y >= 0, by successive squarings."""
    if y == 1:
        return x
    result, result_exponent = 1.0, 0
    square, exponent = math.frexp(x)
    while y:
        if y & 1:
            result *= square
            result_exponent += exponent
        square *= square
        exponent *= 2
        if square < 0.5:
            square += square
            exponent -= 1
        y >>= 1
    return math.ldexp(result, result_exponent)
