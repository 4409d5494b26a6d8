"""What a policy says about proactive reclaim: how far the node agent may go with a container.

In: a person's YAML. Out: a frozen model whose texts are the CRD's descriptions. The bounds are those between
which the agent's own tuning moves (`plimsoll.pages.control_bandit`), never beyond.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from plimsoll.api.fields import Model

Fraction = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]


class ReclaimMode(StrEnum):
    """What the node agent may take back from a container."""

    OFF = "Off"
    COLD = "Cold"
    PREDICTIVE = "Predictive"


class Reclaim(Model):
    """Proactive reclaim by the node agent."""

    mode: ReclaimMode = ReclaimMode.OFF
    """Off, Cold (what has long been idle) or Predictive (what will not be touched within the horizon). Where
    a node cannot tell idle memory, both follow the kernel's own order, at the slowest pace. Acts on nodes
    whose agent may write (the chart's agent.act.enabled); NodeMemory says which ones do."""
    max_pressure_percent: Percent = 1.0
    """Reclaim stops above this memory pressure (PSI some, percent of the last second or the last ten,
    whichever is worse), and slows down on the way to it."""
    refault_budget_fraction: Fraction = 0.01
    """Of the memory touched, the share that may have to be brought back, as an account: what is touched
    earns that share, all that comes back is charged, and while the account owes nothing is taken. Where it is
    not known yet what comes back, a little is taken on trial: 1 % of usage or 1 MiB, twice as much after each
    minute in which no more came back than was earned, at most a tenth of usage (importance High a twentieth,
    Critical a fiftieth). Memory that is out counts as touched once in 300 s, and all memory does while the
    account owes and nothing comes back. So within any T seconds at most
    refaultBudget x (touched + memory x T / 300) + memory + 256 KiB come back. With 0 nothing is taken."""
    prefetch: bool = False
    """Bring pages back before they are predicted to be touched, and at once where reclaim was a mistake."""
    huge_pages: bool = False
    """Gather memory that is in use all the time into huge pages, where the node has free blocks of that size
    and nobody stalls. Only with mode Predictive, which knows memory by address; ends where it does not
    pay."""

    def with_override(self, override: "ReclaimOverride | None") -> "Reclaim":
        """What holds for a container with this override."""
        return self if override is None else self.model_copy(update=override.model_dump(exclude_none=True))


class ReclaimOverride(Model):
    """What `reclaim` says for the containers of this override; what is left out is taken from the policy."""

    mode: ReclaimMode | None = None
    """As reclaim.mode."""
    max_pressure_percent: Percent | None = None
    """As reclaim.maxPressure."""
    refault_budget_fraction: Fraction | None = None
    """As reclaim.refaultBudget."""
    prefetch: bool | None = None
    """As reclaim.prefetch."""
    huge_pages: bool | None = None
    """As reclaim.hugePages."""
