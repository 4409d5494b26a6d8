"""Recordings instead of a cluster: which options then make no sense.

In: what a person typed beside `--traces`. Out: a sentence where an option would have been overheard: a
recording has no namespace, no labels and no source to choose.
"""

import typer

from plimsoll_cli.failure import OptionError

# Parameters that say which cluster, what of it, and how to measure it.
OF_A_CLUSTER = frozenset(
    {
        "prometheus",
        "token_file",
        "history",
        "namespace",
        "all_namespaces",
        "selector",
        "quantity",
        "kubeconfig",
        "context",
    }
)


def refuse_options_of_a_cluster(asker: typer.Context, reader: str = "--traces reads") -> None:
    """Raise `OptionError` that names every option of a cluster that was given.

    `reader` says who reads recordings, as a person typed it.
    """
    given = [
        max(each.opts, key=len)
        for each in asker.command.params
        if each.name in OF_A_CLUSTER and _was_given(asker, each.name)
    ]
    if given:
        raise OptionError(f"{reader} recordings: leave {' and '.join(given)} away")


def _was_given(asker: typer.Context, name: str) -> bool:
    source = asker.get_parameter_source(name)
    return source is not None and not source.name.startswith("DEFAULT")
