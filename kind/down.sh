#!/usr/bin/env bash
# kind/down.sh: removes the cluster that kind/up.sh made, and nothing else: its processes by their ids, its network
# namespace or its containers, its state. The cache stays; a cluster of yours (PLIMSOLL_CLUSTER=kubeconfig) is left alone.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/provider.sh"
made=$RUN/provider
chosen=$(cat "$made" 2>/dev/null) || chosen=$(provider)
case $chosen in
  kind) exec "$KIND_DIR/kind.sh" down ;;
  vm) exec "$KIND_DIR/vm/cluster.sh" down ;;
  kind-vm) exec "$KIND_DIR/vm/kind/cluster.sh" down ;;
  kubeconfig) rm -rf "$RUN" ;;
esac
