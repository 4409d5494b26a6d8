"""What a command raises when it cannot go on: one sentence for the person, no traceback, exit status 1."""


class CommandError(Exception):
    """The message names the thing that failed."""
