#!/usr/bin/env bash
# cluster.sh up | down: the whole cluster of the VM provider. kind/up.sh and kind/down.sh call it.
#
# `up` builds what the cache lacks, starts what does not run, loads the images of this checkout, and writes
# $RUN/cluster.json: what tests and people need to reach it. Running it again is cheap.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
TIMES=()
stage() { # name command...
  local started name=$1; started=$(now); shift; "$@"; TIMES+=("$name	$(since "$started")")
}
binaries() { "$VM/build-binaries.sh" apiserver etcd kcm scheduler kubelet kubectl kube-proxy coredns; }
disk() { "$VM/build-disk.sh" >/dev/null; }
numbers() { seq "$NODES"; }
nodes() { local n; for n in $(numbers); do "$VM/node.sh" up "$n"; done; for n in $(numbers); do "$VM/node.sh" wait "$n"; done; }
images() {
  "$VM/make-images.sh" thin >"$RUN/images"
  local n part name archive
  while read -r part name archive; do for n in $(numbers); do "$VM/node.sh" load "$n" "$archive"; done; done <"$RUN/images"
}
describe() {
  jq -n --arg name "$CLUSTER_NAME" --arg kubeconfig "$RUN/kubeconfig" --arg kubectl "$BIN/kubectl" --arg run "$RUN" \
    --argjson images "$(awk '{ print "{\"" $1 "\": \"" $2 "\"}" }' "$RUN/images" | jq -s add)" --argjson nodes "$(numbers | sed 's/.*/"node-&"/' | jq -s .)" \
    '{provider: "vm", name: $name, slowness: 3, kubeconfig: $kubeconfig, kubectl: $kubectl, run: $run, network_namespace: $name, nodes: $nodes, images: $images, load_image: "localhost/load:1"}' >"$RUN/cluster.json"
}
up() {
  [ "$(id -u)" = 0 ] || die "the VM provider makes a network namespace and disks: it needs root"
  mkdir -p "$RUN" "$STORE"; echo vm >"$RUN/provider"; rm -f "$RUN/times"
  stage "Debian packages" "$VM/packages.sh"
  stage "binaries" binaries
  stage "node disk" disk
  stage "control plane" "$VM/control-plane.sh" up
  stage "$NODES nodes Ready" nodes
  stage "images of this checkout" images
  describe
  printf '%s\n' "${TIMES[@]}" | tee "$RUN/times" | awk -F'\t' '{ printf "%-34s %7s s\n", $1, $2 }' >&2
  cat <<T
kubeconfig: $RUN/kubeconfig
enter:      ip netns exec $CLUSTER_NAME env KUBECONFIG=$RUN/kubeconfig PATH=$BIN:\$PATH bash
T
}
down() {
  local d; for d in "$RUN"/node-*; do if [ -d "$d" ]; then "$VM/node.sh" down "${d##*-}"; fi; done
  "$VM/control-plane.sh" down
  rm -rf "$RUN"
}
case ${1:-} in up) up ;; down) down ;; *) die "usage: cluster.sh up | down" ;; esac
