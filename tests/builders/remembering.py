"""The memory of a rig's operator, with what learns and records beside its loop, driven by the rig's clock.

In: a rig (`loops.rig`), an opened memory. Out: rounds: what the operator's memory does each half minute.
"""

from plimsoll.usage.sample import Quantity
from plimsoll_operator.incidents import Incidents
from plimsoll_operator.learning import Learner
from plimsoll_operator.remembering import Remembered


class Remembering:
    """What `assemble` puts together of a memory, for a rig."""

    def __init__(self, made, memory):
        self.rig, self.memory = made, memory
        leads = made.leader.holds
        self.incidents = Incidents(memory, leads, made.metrics)
        self.remembered = Remembered(
            memory,
            Quantity.WORKING_SET,
            lambda: self.rig.now_seconds,
            made.metrics,
            learner=Learner(memory, leads, made.metrics),
            incidents=self.incidents,
        )
        made.loop._parts.keeper.memory = self.remembered

    async def round(self):
        """Write, record and learn once."""
        await self.remembered.write()
        await self.remembered.learn()

    def told(self):
        """What was recorded, by what it was, the newest of each."""
        return {each.what: each for each in reversed(self.memory.incidents(0.0))}

    def count(self, what, outcome="recorded"):
        """How many the metrics tell of."""
        return self.rig.metrics.value("plimsoll_memory_incidents_total", what=what, outcome=outcome)
