# Settings of the machine that kind runs in; sourced, not run. Nothing here starts or changes anything.
export PLIMSOLL_CLUSTER_NAME=${PLIMSOLL_CLUSTER_NAME:-plimsoll-kind}   # never the cluster of `make e2e`
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../lib.sh"
REPO=$(cd "$VM/../.." && pwd)
KIND_STORE=$STORE/kind                               # Debian, images and disks
MACHINE=1                                            # its number in the cluster's network: 10.77.0.11
MACHINE_IP=$NODE_NET.$((10 + MACHINE))
PYTHON=${PYTHON:-$REPO/.venv/bin/python}
PODMAN_BASE=localhost/plimsoll-base:1                # BASE of the Dockerfiles: the layer that make-images.sh stands on
PODMAN_BUILD_BASE=localhost/plimsoll-build:1         # BUILD_BASE: the same Debian with pip, venv and a C compiler

kubernetes_version() { "$BIN/kubeadm" version -o short; }
node_image() { local version; version=$(kubernetes_version); echo "localhost/plimsoll-kindnode:$version"; }   # fails where that fails
base_layer() { "$VM/make-images.sh" base; }          # the assembled images stand on it
in_machine() { node_sh "$MACHINE" "$@"; }            # a command in the machine's root shell
