#!/usr/bin/env bash
# podman.sh ARGUMENT...: the podman of the machine that kind runs in; `tool` of its cluster.json.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
in_machine "podman $(printf '%q ' "$@")"
