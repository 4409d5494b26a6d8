#!/usr/bin/env bash
# kubeconfig.sh up: takes a cluster that is there. Its nodes must be able to pull the images that PLIMSOLL_OPERATOR_IMAGE,
# PLIMSOLL_AGENT_IMAGE and PLIMSOLL_LOAD_IMAGE name; this script puts nothing into it. kind/up.sh calls it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/provider.sh"
: "${KUBECONFIG:?set KUBECONFIG to the cluster that the tests may use}"
for name in PLIMSOLL_OPERATOR_IMAGE PLIMSOLL_AGENT_IMAGE PLIMSOLL_LOAD_IMAGE; do [ -n "${!name:-}" ] || die "set $name to an image that the cluster's nodes can pull"; done
command -v kubectl >/dev/null || die "the program 'kubectl' is not installed"
nodes=$(kubectl get nodes -o name) || die "the cluster of KUBECONFIG=$KUBECONFIG does not answer"
mkdir -p "$RUN"; echo kubeconfig >"$RUN/provider"
python3 - "$CLUSTER_NAME" "$KUBECONFIG" "$RUN" "$PLIMSOLL_OPERATOR_IMAGE" "$PLIMSOLL_AGENT_IMAGE" "$PLIMSOLL_LOAD_IMAGE" "${nodes//node\//}" >"$RUN/cluster.json" <<'P'
import json, sys
name, kubeconfig, run, operator, agent, load, nodes = sys.argv[1:]
print(json.dumps({"provider": "kubeconfig", "name": name, "kubeconfig": kubeconfig, "kubectl": "kubectl", "run": run, "nodes": nodes.split(),
                  "images": {"operator": operator, "agent": agent}, "load_image": load}))
P
printf 'kubeconfig: %s\n' "$KUBECONFIG"
