"""An operator killed with SIGKILL in the middle of a shrink and of a lease: a real process, at every step.

A step is what it says to an agent, what it hears of a shrink, and each write of a limit, before and after it;
after means that the API server has acknowledged and nobody has heard it. The next operator knows what the API
server has, and an agent that comes anew. In the end the limit must be what it is where nobody was killed,
written as often, and never below what was in use.
"""

import pickle

import pytest

from builders.killable import operators

BEGIN = 1_800_000_000.0
LATER = BEGIN + 3600.0
WRITTEN_MIB = {"shrink": [700.0], "lease": [1424.0, 1024.0]}
SAID = {
    "shrink": "the operator killed (SIGKILL) in the middle of a shrink",
    "lease": "the operator killed (SIGKILL) in the middle of a lease",
}


def writes(path) -> list[tuple[float, float]]:
    """Limits that were written, and what was in use then, MiB."""
    return pickle.loads(path.read_bytes())[2]


@pytest.mark.parametrize("what", ["shrink", "lease"])
def test_an_operator_killed_at_any_step_leaves_the_limit_that_an_undisturbed_one_does(
    tmp_path, counted, what
):
    survived, lost = 0, 0
    with operators("builders.limiting_operator") as made:
        calm = tmp_path / "calm"
        made.start(str(calm), what, BEGIN)
        steps = made.done()
        made.gone()
        assert [limit for limit, _ in writes(calm)] == WRITTEN_MIB[what]
        names = set()
        for step in range(1, steps + 1):
            path = tmp_path / f"step-{step}"
            made.start(str(path), what, BEGIN, stop_at=step)
            names.add(made.reach(step))
            made.kill()
            made.start(str(path), what, LATER)
            made.done()
            made.gone()
            found = writes(path)
            assert all(used <= limit for limit, used in found), f"step {step}: below what was in use"
            survived += [limit for limit, _ in found] == WRITTEN_MIB[what]
            lost += found[-1][0] != WRITTEN_MIB[what][-1]
    assert {"before resize", "after resize", "before _offer", "after _offer"} <= names
    assert (survived, lost) == (steps, 0)
    counted(SAID[what], injected=steps, survived=survived, lost=lost, of=steps, what="limits")
