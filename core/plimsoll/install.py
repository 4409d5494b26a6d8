"""How what an extra brings is installed: one sentence for all who find it missing.

In: names of extras. Out: what to type. The package index has a stranger's `plimsoll`: only a checkout has
this one, so that no hint may name it as if an index had.
"""


def install_hint(*extras: str) -> str:
    """What to type in the checkout, for the extras that are needed together."""
    return f"in the checkout `make venv`, or `pip install '.[{','.join(extras)}]'`"
