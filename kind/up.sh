#!/usr/bin/env bash
# kind/up.sh [--check]: a Kubernetes cluster with the images of this checkout in it, ready for `helm install`.
#
# PLIMSOLL_CLUSTER=kind|vm|kubeconfig says where it comes from; default: kind where docker or podman answers, else VM nodes
# where QEMU is there or can be installed, else this fails and says what is missing. Running it again brings up what is down
# and loads what has changed. PLIMSOLL_CLUSTER_NAME names it (plimsoll); its state is under XDG_STATE_HOME, cluster.json in
# there says how it is reached. PLIMSOLL_WORKER=1 builds the image of plimsoll-worker as well (with docker or podman alone), for the
# chart's `worker.enabled`. kind/down.sh removes it all. With --check it only says whether a cluster can be had here.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/provider.sh"
chosen=$(provider)
[ -z "${PLIMSOLL_WORKER:-}" ] || [ "$chosen" = kind ] || die "PLIMSOLL_WORKER: the worker's image is built by docker or podman alone, and the provider is $chosen"
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
