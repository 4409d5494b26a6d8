"""An agent beside its operator's companion, with a session that is open and no network.

In: a directory, flags of `plimsoll-agent run`, what `AgentOn` takes. Out: the agent, and what its companion
has to say.
"""

from shutil import rmtree

from builders.agents import AgentOn
from plimsoll.coordinate.session import WelcomeNumbers
from plimsoll.coordinate.versions import PROTOCOL
from plimsoll_nodeagent.coordinate.assemble import accompany
from plimsoll_nodeagent.main import parser


class Attending:
    """An agent whose session is open; no network."""

    def __init__(self, directory, *flags, **of):
        self.on = AgentOn(directory, **of)
        self.agent = self.on.made.agent
        arguments = ["run", "--operator-address", "127.0.0.1:1", "--kube-node", "node-a", *flags]
        self.beside = accompany(parser().parse_args(arguments), self.agent)
        self.companion, self.link = self.beside.companion, self.beside.link
        self.session = self.companion._session
        self.open()

    def open(self):
        self.session.greet()
        self.session.welcome(WelcomeNumbers(PROTOCOL, 1, 0))
        self.link.state.attending = True
        self.link.state.heard_seconds = self.on.now

    def said(self):
        found = []
        while (envelope := self.session.next()) is not None:
            found.append(envelope.body)
        return found

    def memory(self, number, name, value):
        self.on.node.file(number, name).write_text(f"{value}\n")

    def remove(self, number):
        """A container ends, and its cgroup goes."""
        rmtree(self.on.node.file(number, "memory.current").parent)
