"""What an API server asks of any object's `metadata`, said before one sees it.

In: `metadata` as read from YAML. Out: (path, sentence) for each field that would be refused. Method:
k8s.io/apimachinery `ValidateObjectMeta` with the names of custom resources (DNS-1123 subdomains), and strict
decoding: types, and fields that do not exist.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

NAME_LENGTH, LABEL_LENGTH = 253, 63
ANNOTATIONS_BYTES = 256 * 1024  # keys and values of all annotations together
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_WORD = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_TYPES: dict[str, tuple[type, str]] = {
    **dict.fromkeys(("name", "generateName", "namespace", "selfLink", "uid"), (str, "string")),
    **dict.fromkeys(("resourceVersion", "creationTimestamp", "deletionTimestamp"), (str, "string")),
    **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), (int, "integer")),
    **dict.fromkeys(("labels", "annotations"), (Mapping, "object")),
    **dict.fromkeys(("finalizers", "managedFields", "ownerReferences"), (list, "array")),
}


def metadata_findings(metadata: object) -> Iterator[tuple[str, str]]:
    """Every field that an API server refuses, `metadata.labels.team` for one."""
    if metadata is not None and not isinstance(metadata, Mapping):
        yield "metadata", f"{metadata!r} must be of type object"
        return
    given: Mapping[Any, Any] = metadata or {}
    if given.get("name") in (None, ""):
        yield "metadata.name", "is missing"
    for field, value in given.items():
        path = f"metadata.{field}"
        if field not in _TYPES:
            close = get_close_matches(str(field), _TYPES, n=1)
            yield path, "unknown field" + (f"; did you mean {close[0]}?" if close else "")
        elif value is not None:  # the API server drops nulls
            yield from _field(path, field, value)


def _field(path: str, field: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - what YAML has
    kind, called = _TYPES[field]
    if not isinstance(value, kind) or isinstance(value, bool):
        yield path, _not_of_type(value, called)
    elif isinstance(value, Mapping):
        yield from _words(path, value, labels=field == "labels")
    elif field == "name" and value:
        yield from _refused(path, str(value), _DNS_NAME, NAME_LENGTH, "letters a-z, digits, - and .")
    elif field == "namespace" and value:
        yield from _refused(path, str(value), _DNS_LABEL, LABEL_LENGTH, "letters a-z, digits and -")


def _words(path: str, words: Mapping[Any, Any], *, labels: bool) -> Iterator[tuple[str, str]]:
    """Labels or annotations: their keys, and of labels the values too."""
    for key, value in words.items():
        if why := _key_refusal(str(key) if labels else str(key).lower()):
            yield path, f"{key!r} is no key: {why}"
        elif value is not None and not isinstance(value, str):
            yield f"{path}.{key}", _not_of_type(value, "string")
        elif labels and value:
            yield from _refused(
                f"{path}.{key}",
                value,
                _WORD,
                LABEL_LENGTH,
                "letters, digits, -, _ and .",
                "letters or digits",
            )
    size = sum(len(str(each).encode()) for pair in words.items() for each in pair)
    if not labels and size > ANNOTATIONS_BYTES:
        yield path, f"has {size} bytes; at most {ANNOTATIONS_BYTES} are taken"


def _key_refusal(key: str) -> str:
    """Why a text is no qualified name, `example.com/team`; nothing where it is one."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (_DNS_NAME.fullmatch(prefix) and len(prefix) <= NAME_LENGTH):
        return f"{prefix!r} before the / is no DNS name"
    if not (_WORD.fullmatch(name) and len(name) <= LABEL_LENGTH):
        return f"want at most {LABEL_LENGTH} letters, digits, -, _ and ., with letters or digits at both ends"
    return ""


def _refused(
    path: str, text: str, shape: re.Pattern[str], length: int, made_of: str, ends: str = "a letter or digit"
) -> Iterator[tuple[str, str]]:
    if not shape.fullmatch(text):
        yield path, f"{text!r}: want {made_of}, with {ends} at both ends"
    elif len(text) > length:
        yield path, f"has {len(text)} characters; at most {length} are taken"


def _not_of_type(value: object, called: str) -> str:
    quoted = ": write it in quotes" if called == "string" else ""
    return f"{value!r} must be of type {called}{quoted}"
