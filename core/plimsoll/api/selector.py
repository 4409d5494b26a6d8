"""Label selectors, with the meaning they have everywhere in Kubernetes.

In: a selector and an object's labels. Out: match or not, and whether two selectors could match one object
(for `plimsoll policy check`). Method: k8s.io/apimachinery/pkg/apis/meta/v1 LabelSelector.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from plimsoll.api.fields import Model, rule, rules

LabelText = Annotated[str, Field(max_length=63)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]


class Operator(StrEnum):
    """How a key's value relates to the listed ones."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Model):
    """One line of matchExpressions."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                "values are needed with In and NotIn, and must be absent with Exists and DoesNotExist",
                ".values",
            )
        )
    )

    key: LabelKey
    """Label key."""
    operator: Operator
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[
        tuple[LabelText, ...], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """Label values for In and NotIn."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True where the labels meet this line; a missing key meets NotIn and DoesNotExist."""
        value = labels.get(self.key)
        if self.operator is Operator.IN:
            return value is not None and value in self.values
        if self.operator is Operator.NOT_IN:
            return value is None or value not in self.values
        return (value is not None) == (self.operator is Operator.EXISTS)


class LabelSelector(Model):
    """All of matchLabels and all of matchExpressions must hold; an empty selector matches everything."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    match_labels: Annotated[dict[str, LabelText], Field(default_factory=dict, max_length=32)]
    """Labels that must be there, with these values."""
    match_expressions: Annotated[
        tuple[Requirement, ...],
        Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """Further requirements."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True where the labels meet every requirement."""
        exact = all(labels.get(key) == value for key, value in self.match_labels.items())
        return exact and all(each.matches(labels) for each in self.match_expressions)

    def may_overlap(self, other: "LabelSelector") -> bool:
        """False only where no labels can meet both: some key would need two values at once, or be there and
        not be.
        """
        lines = [*self.requirements(), *other.requirements()]
        return all(
            _satisfiable([line for line in lines if line.key == key]) for key in {x.key for x in lines}
        )

    def requirements(self) -> tuple[Requirement, ...]:
        """Everything as requirements; a matchLabels entry is an In with one value."""
        exact = (Requirement(key=k, operator=Operator.IN, values=(v,)) for k, v in self.match_labels.items())
        return (*exact, *self.match_expressions)


def _satisfiable(lines: list[Requirement]) -> bool:
    """Whether one value (or its absence) meets all the lines about one key."""
    named = {value for line in lines for value in line.values}
    fresh = "".join(named) + "-"  # stands for every value that nobody names
    candidates = [{lines[0].key: value} for value in (*named, fresh)]
    return any(all(line.matches(labels) for line in lines) for labels in ({}, *candidates))
