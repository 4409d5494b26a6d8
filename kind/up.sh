#!/usr/bin/env bash
# kind/up.sh [--check]: a Kubernetes cluster with the images of this checkout in it, ready for `helm install`.
#
# PLIMSOLL_CLUSTER=kind|vm|kubeconfig says where it comes from; default: kind where docker or podman answers, else VM nodes
# where QEMU is there or can be installed, else this fails and says what is missing. Running it again brings up what is down
# and loads what has changed. PLIMSOLL_CLUSTER_NAME names it (plimsoll); its state is under XDG_STATE_HOME, cluster.json in
# there says how it is reached. kind/down.sh removes it all. With --check it only says whether a cluster can be had here.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/provider.sh"
chosen=$(provider)
case ${1:-} in
  "") ;;
  --check) echo "$chosen"; exit 0 ;;
  *) die "usage: kind/up.sh [--check]" ;;
esac
case $chosen in
  kind) exec "$KIND_DIR/kind.sh" up "$(container_tool)" ;;
  vm) exec "$KIND_DIR/vm/cluster.sh" up ;;
  kind-vm) exec "$KIND_DIR/vm/kind/cluster.sh" up ;;
  kubeconfig) exec "$KIND_DIR/kubeconfig.sh" up ;;
esac
