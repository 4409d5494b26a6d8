"""Which resources the API serves: kmock's bundled list of Kubernetes' own, and what CRDs add.

In: kmock's `ResourcesArray` and CustomResourceDefinition objects. Out: a `ResourceType` for a URL's group,
version and plural.
"""

from dataclasses import dataclass
from typing import Any

import kmock

from .store import ResourceId

# Groups that the bundled list has from K3s and that are no part of Kubernetes.
_FOREIGN_GROUP_SUFFIXES = ("cattle.io",)
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One served resource."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    subresources: frozenset[str]
    custom: bool = False  # defined by a CRD

    @property
    def id(self) -> ResourceId:
        """The collection its objects are in, whatever the version."""
        return self.group, self.plural

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def has_status(self) -> bool:
        """Whether `status` is a subresource of its own, so that other writes cannot change it."""
        return "status" in self.subresources


class ResourceRegistry:
    """The served resources, kept in step with kmock's array, which answers discovery."""

    def __init__(self, array: kmock.ResourcesArray) -> None:
        self._array = array
        self._types: dict[tuple[str, str, str], ResourceType] = {}
        array.load_bundled()
        # The bundle comes from some K3s; these four must be there whatever its age.
        array["v1/pods"].subresources |= {"resize", "status", "eviction", "binding"}
        for key in list(array):
            self._add(kmock.resource(key), array[key])

    def _add(self, resource: kmock.resource, info: kmock.ResourceInfo, *, custom: bool = False) -> None:
        group, version, plural = resource.group or "", resource.version or "", resource.plural or ""
        if group.endswith(_FOREIGN_GROUP_SUFFIXES):
            del self._array[resource]
            return
        self._types[group, version, plural] = ResourceType(
            group,
            version,
            plural,
            info.kind or "",
            bool(info.namespaced),
            frozenset(info.subresources),
            custom,
        )

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        """The resource at a URL, or None."""
        return self._types.get((group, version, plural))

    def find_kind(self, api_version: str, kind: str) -> ResourceType | None:
        """The resource of an object, or None."""
        return next(
            (t for t in self._types.values() if t.kind == kind and t.api_version == api_version), None
        )

    def define(self, crd: dict[str, Any]) -> None:
        """Serve what a CustomResourceDefinition defines."""
        spec = crd["spec"]
        names = spec["names"]
        for version in spec["versions"]:
            if not version.get("served", True):
                continue
            resource = kmock.resource(spec["group"], version["name"], names["plural"])
            info = kmock.ResourceInfo(
                kind=names["kind"],
                singular=names.get("singular") or names["kind"].lower(),
                namespaced=spec["scope"] == "Namespaced",
                verbs=_VERBS,
                shortnames=names.get("shortNames") or (),
                categories=names.get("categories") or (),
                subresources=version.get("subresources") or (),
            )
            self._array[resource] = info
            self._add(resource, info, custom=True)

    def undefine(self, crd: dict[str, Any]) -> None:
        """Serve it no more."""
        spec = crd["spec"]
        for version in spec["versions"]:
            key = (spec["group"], version["name"], spec["names"]["plural"])
            if self._types.pop(key, None) is not None:
                del self._array[kmock.resource(*key)]
