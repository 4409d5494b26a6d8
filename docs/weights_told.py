"""Where weights come from, in sentences: the provenance that `bench/train_prior.py` writes in, words out."""

from collections.abc import Mapping
from typing import Any

FACTS = ("the commit", "the versions of LightGBM and numpy", "digests of the data")


def weights_told(facts: Mapping[str, Any]) -> str:
    """What they were fitted by, to what, and what was kept from them."""
    sources = facts["sources"]
    each = ", ".join(f"{count} of `{source}`" for source, count in sources.items())
    return (
        f"Plimsoll's weights were fitted by `{facts['script']}` (seed {facts['seed']}) to "
        f"{facts['rows']:,} rows, hours of recorded series and of the same altered: "
        f"{each}; without {facts['held_out']}. {_made_with(facts)}"
    )


def _made_with(facts: Mapping[str, Any]) -> str:
    """Commit, versions and data; what older files do not say is said."""
    commit, versions, data = (facts.get(name) for name in ("commit", "versions", "data"))
    said = []
    if commit:
        said.append(f"They were made at commit `{commit}`")
    if versions:
        said.append("with " + " and ".join(f"{name} {version}" for name, version in versions.items()))
    if data:
        digests = ", ".join(f"`{name}` {digest}" for name, digest in data.items())
        said.append(f"from files with these SHA-256 (cut short): {digests}")
    missing = [name for name, value in zip(FACTS, (commit, versions, data), strict=True) if not value]
    told = [f"{' '.join(said)}."] if said else []
    lacking = [f"Not on record: {', '.join(missing)}."] if missing else []
    return " ".join([*told, *lacking])
