"""`compiled`: numba's decorator with the types kept. The only place that names numba.

In: a plain function on arrays and numbers. Out: the same, compiled when first called and cached on disk. A
cached kernel does not notice that another module it calls has changed: whoever imports the kernels sets
numba's cache directory to one named after all their sources (`plimsoll_cli.traces.page_kernels`).
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function, compiled without Python objects."""
    return cast("Function", njit(cache=True)(function))
