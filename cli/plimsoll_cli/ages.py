"""How long ago something was, as kubectl writes it: `45s`, `12m`, `3h`, `9d`."""

STEPS = ((86_400 * 2, 86_400, "d"), (3600 * 2, 3600, "h"), (120, 60, "m"))


def age(at_seconds: float | None, now_seconds: float) -> str | None:
    """Text of the time since `at_seconds`; None where it is not known."""
    if at_seconds is None:
        return None
    passed = max(0, int(now_seconds - at_seconds))
    for least, unit_seconds, letter in STEPS:
        if passed >= least:
            return f"{passed // unit_seconds}{letter}"
    return f"{passed}s"
