"""The API's refusals, worded and coded as kube-apiserver does, because clients branch on `reason`.

In: what went wrong. Out: an `ApiError` that renders as a `Status` object with the right HTTP code.
"""

from typing import Any


class ApiError(Exception):
    """One refused request: HTTP code, machine-readable reason, sentence, optional Retry-After seconds."""

    def __init__(
        self, code: int, reason: str, message: str, *, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    def status(self) -> dict[str, Any]:
        """The `Status` object that is the response's body (or an ERROR event's object)."""
        details: dict[str, Any] = {}
        if self.retry_after_seconds is not None:
            details["retryAfterSeconds"] = self.retry_after_seconds
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": details,
            "code": self.code,
        }


def not_found(plural: str, name: str) -> ApiError:
    """404 for an object that is not there."""
    return ApiError(404, "NotFound", f'{plural} "{name}" not found')


def already_exists(plural: str, name: str) -> ApiError:
    """409 for a create whose name is taken."""
    return ApiError(409, "AlreadyExists", f'{plural} "{name}" already exists')


def conflict(plural: str, name: str) -> ApiError:
    """409 for a write that names a stale resourceVersion."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {plural} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
    )


def expired(asked: int, oldest: int) -> ApiError:
    """410 for a resourceVersion whose changes are no longer remembered."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def invalid(kind: str, name: str, why: str) -> ApiError:
    """422 for an object that the API's rules refuse; `why` names the field."""
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {why}')


def bad_request(why: str) -> ApiError:
    """400 for a request that cannot be understood."""
    return ApiError(400, "BadRequest", why)


def too_many_requests(why: str, retry_after_seconds: int) -> ApiError:
    """429, as for an eviction that a disruption budget forbids."""
    return ApiError(429, "TooManyRequests", why, retry_after_seconds=retry_after_seconds)
