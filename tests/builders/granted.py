"""What a role grants, right by right, and by which name code calls a value.

In: the rules of a rendered role; a node of a syntax tree. Out: rights as the tables list them; a name.
"""

import ast
from collections.abc import Iterator
from itertools import product

from builders.chart import Object
from plimsoll_operator.rights import SingleRight


def granted(rules: list[Object], scope: str) -> Iterator[SingleRight]:
    """Each right of a role, `scope` being where it is granted: `cluster` or `own namespace`."""
    for rule in rules:
        for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"]):
            yield SingleRight(scope, group, resource, verb, tuple(rule.get("resourceNames", ())))


def named(node: ast.AST) -> str:
    """The name by which a value is called: `api` of `self._api` and of `api`, "" where it has none."""
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return str(name).lstrip("_")
