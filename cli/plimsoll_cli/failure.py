"""What a command raises when it cannot go on: one sentence for the person, no traceback.

Exit status 1: what was asked for cannot be done. Exit status 2: a cluster or Prometheus did not give what was
needed, so that a script can tell a wrong answer from no answer.
"""


class CommandError(Exception):
    """The message names the thing that failed."""

    status = 1


class ClusterError(CommandError):
    """The cluster or Prometheus refused, failed or did not answer; the message names its address."""

    status = 2
