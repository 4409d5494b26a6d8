"""A Kubernetes API for the sandbox and for tests: `SandboxApi(now).listen()` serves it over HTTP."""

from .errors import ApiError
from .faults import FaultRule
from .server import SandboxApi

__all__ = ["ApiError", "FaultRule", "SandboxApi"]
