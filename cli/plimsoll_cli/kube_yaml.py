"""YAML as kubectl reads it, in plain Python values that JSON has too.

In: text. Out: its documents: mappings with keys of text, lists, text, numbers, booleans, None. What kubectl's
library (sigs.k8s.io/yaml over goyaml v2, `resolve.go`) and PyYAML read differently is read its way: `1e3` is
a number, a date and `12:30:45` are text, `y` and `n` are booleans. Stricter than kubectl in one thing: a key
that is there twice is refused, as an API server refuses it in JSON.
"""

import math
import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml
from yaml.constructor import ConstructorError

TAG = "tag:yaml.org,2002:"
STRING, INTEGER, FLOAT, MERGE = (TAG + name for name in ("str", "int", "float", "merge"))
WORDS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
NO_NUMBERS = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
WHOLE = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
BASES = (16, 2, 8, 10)
MOST_IN_DIGITS = 1e21  # below, Go writes a number without a fraction into JSON as a whole one
DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# What PyYAML's constructors raise over a value that is none of its tag (`!!int abc`, `!!timestamp abc`).
NONE_OF_ITS_TAG = (ValueError, LookupError, TypeError, AttributeError, OverflowError)


def documents(text: str) -> Iterator[Any]:
    """All documents, empty ones as None. Raises yaml.YAMLError; RecursionError where they nest too deeply."""
    yield from yaml.load_all(text, Loader=_Loader)


def number(text: str) -> int | float | None:
    """The number that a plain scalar is; None: it is none."""
    if text in NO_NUMBERS:
        return NO_NUMBERS[text]
    if text[:1] not in "+-.0123456789":
        return None
    plain = text.replace("_", "")
    if found := WHOLE.fullmatch(plain):
        sign, *digits = found.groups()
        base, said = next((base, each) for base, each in zip(BASES, digits, strict=True) if each)
        # Python reads no endless decimals; beyond 64 bits no field has a use for the last digit.
        return int(sign + said, base) if base != 10 or len(said) <= 20 else float(plain)
    return float(plain) if DECIMAL.fullmatch(plain) else None


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with kubectl's reading of scalars, keys and tags."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ANN401 - PyYAML's own
        """The tag of a node that names none."""
        if kind is not yaml.ScalarNode or not implicit[0]:
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        if value in WORDS:
            return TAG + ("null" if WORDS[value] is None else "bool")
        if value == "<<":
            return MERGE
        found = number(value)
        return STRING if found is None else INTEGER if isinstance(found, int) else FLOAT

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401
        """A mapping, before merge keys bring what its own keys stand above."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if key.value in seen:
                    raise ConstructorError(
                        None, None, f"the key {key.value!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
        assert isinstance(node, yaml.MappingNode)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001
        """Any node; what is none of its tag is an error in YAML, not a fault."""
        try:
            return super().construct_object(node, deep)
        except NONE_OF_ITS_TAG as error:
            text = f"{node.value!r} is not of type {node.tag.removeprefix(TAG)}"
            raise ConstructorError(None, None, text, node.start_mark) from error

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001
        """A mapping with keys of text, as JSON has them."""
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "expected a mapping", node.start_mark)
        self.flatten_mapping(node)
        # One by one: for a dict in Python 1 and true were the same key.
        return {
            _key(self.construct_object(key, deep=True), key): self.construct_object(value, deep)
            for key, value in node.value
        }

    def scalar_of(self, node: yaml.ScalarNode) -> Any:  # noqa: ANN401
        """A boolean, a number, or text that looks like a date."""
        text = node.value
        if node.tag == TAG + "timestamp":
            self.construct_yaml_timestamp(node)  # raises where it is no date
            return text
        if node.tag == TAG + "bool" and isinstance(WORDS[text], bool):
            return WORDS[text]
        found = number(text)
        if found is None or (node.tag == INTEGER and not isinstance(found, int)):
            raise ValueError(text)
        return int(found) if abs(found) < MOST_IN_DIGITS and found == int(found) else found


for _tag in ("bool", "int", "float", "timestamp"):
    _Loader.add_constructor(TAG + _tag, _Loader.scalar_of)


def _key(key: Hashable, node: yaml.Node) -> str:
    if isinstance(key, str | int | float):
        return str(key).lower() if isinstance(key, bool) else str(key)
    raise ConstructorError(None, None, f"a key cannot be {key!r}", node.start_mark)
