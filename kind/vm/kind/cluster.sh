#!/usr/bin/env bash
# cluster.sh up | down | images: kind, run for real in a QEMU machine. kind/up.sh and kind/down.sh call it (PLIMSOLL_CLUSTER=kind-vm).
#
# `up` makes what the cache lacks, boots the machine, puts this checkout into it and runs kind/up.sh there: kind/kind.sh with
# podman creates the cluster, builds the Dockerfiles and loads the images. The API server is at 10.77.0.11 in the cluster's
# private network namespace, which the tests enter as they do for VM nodes. `images` only builds the Dockerfiles in the
# machine, and says what the images weigh.
#
# PLIMSOLL_KIND_WORKERS (0) workers of kind/cluster.yaml join the control plane, which then takes no pods of tests itself; of two,
# the second takes only those that ask for it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
WORKERS=${PLIMSOLL_KIND_WORKERS:-0}
IN=/root/plimsoll                                    # the checkout in the machine
TIMES=()
stage() { # name command...
  local started name=$1; started=$(now); shift; "$@"; TIMES+=("$name	$(since "$started")")
}
say_times() { printf '%s\n' "${TIMES[@]}" | tee "$RUN/times" | awk -F'\t' '{ printf "%-44s %7s s\n", $1, $2 }' >&2; }
binaries() { "$VM/build-binaries.sh" apiserver etcd kcm scheduler kubelet kubectl kube-proxy coredns kubeadm kind; }
disk() { "$HERE/build-disk.sh" >/dev/null; }
machine() { "$HERE/machine.sh" "$@"; }
checkout() { # what kind/up.sh reads, as it is here, with the wheels that its Dockerfiles install
  local part=$RUN/checkout wheels; wheels=$("$HERE/build-wheels.sh"); rm -rf "$part"; mkdir -p "$part/build"
  (cd "$REPO" && tar -c --exclude=__pycache__ --exclude=kind/vm/gomod core operator nodeagent cli proto kind requirements pyproject.toml README.md LICENSE .dockerignore) | tar -C "$part" -x
  cp -r "$wheels" "$part/build/wheels"
  "$PYTHON" "$HERE/make-configuration.py" "$REPO/kind/cluster.yaml" "$HERE/emulated.yaml" --image "$(node_image)" --address "$MACHINE_IP" \
    --patches "$IN/kind/vm/kind/patches" --workers "$WORKERS" >"$part/kind/emulated-cluster.yaml"
  tar -C "$part" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$RUN/checkout.tar" .; rm -rf "$part"
}
put_checkout() { local file; file=$(machine put "$RUN/checkout.tar"); machine sh "rm -rf $IN && mkdir -p $IN && tar -C $IN -xf $file && rm $file"; }
environment() { # chroot: otherwise podman asks its runtime all the time how a build step is, which costs a core here; so do threads
  # of Go that look for work
  cat <<E
export BUILDAH_ISOLATION=chroot GOMAXPROCS=1 GOGC=400
export HOME=/root PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PLIMSOLL_CLUSTER=kind PLIMSOLL_CLUSTER_NAME=$CLUSTER_NAME
export PLIMSOLL_KIND_CONFIG=$IN/kind/emulated-cluster.yaml PLIMSOLL_KIND_WAIT=20m
export PLIMSOLL_BUILD_ARGS="BASE=$PODMAN_BASE
BUILD_BASE=$PODMAN_BUILD_BASE
PIP_ARGS=--no-index --find-links=/src/locks"
E
}
kind_up() { machine run kind-up "$(environment); $IN/kind/up.sh" || die "kind/up.sh failed in the machine; what it said stands above, and: machine.sh sh 'podman ps -a'"; }
networks() { machine run networks "$(environment); $IN/kind/vm/kind/networks.sh $CLUSTER_NAME" || die "the nodes' pods have no networks; what was said stands above"; }
described() { machine sh "cat /root/.local/state/plimsoll/$CLUSTER_NAME/$1"; }
dns() { # kind does not wait for it. kubeadm's Corefile names plugins that our CoreDNS is built without, and asks outside, where nobody is
  local deadline=$((SECONDS + 900)) corefile=$RUN/Corefile
  printf '.:53 {\n  errors\n  health\n  ready\n  kubernetes cluster.local in-addr.arpa ip6.arpa {\n    pods insecure\n  }\n  cache 30\n  loadbalance\n}\n' >"$corefile"
  until kubectl -n kube-system create configmap coredns --from-file="$corefile" --dry-run=client -o yaml | kubectl apply -f - >/dev/null &&
    kubectl -n kube-system rollout restart deployment/coredns >/dev/null && kubectl -n kube-system rollout status deployment/coredns --timeout=600s >&2; do
    [ $SECONDS -lt $deadline ] || die "CoreDNS in kind's cluster does not answer: machine.sh sh 'podman exec ... crictl logs', and kubectl -n kube-system logs deployment/coredns"
    log "kind's API server does not answer yet; asking again"; sleep 10   # after the images were unpacked it can be busy for minutes
  done
}
describe() { # cluster.json of the machine, with the paths of this computer; its podman is one that acts in the machine
  described cluster.json | jq --arg run "$RUN" --arg kubectl "$BIN/kubectl" --arg namespace "$CLUSTER_NAME" --arg tool "$HERE/podman.sh" \
    '. + {slowness: 8, kubeconfig: ($run + "/kubeconfig"), run: $run, kubectl: $kubectl, network_namespace: $namespace, tool: $tool}' >"$RUN/cluster.json"
}
up() {
  [ "$(id -u)" = 0 ] || die "kind's machine needs a network namespace and disks: it needs root"
  mkdir -p "$RUN" "$KIND_STORE"; echo kind-vm >"$RUN/provider"; rm -f "$RUN/times"
  stage "Debian packages" "$VM/packages.sh"
  stage "binaries" binaries
  checkout   # names the node image after kubeadm's version
  if [ -f "$RUN/cluster.json" ] && [ "$(cat "$RUN/checkout.key" 2>/dev/null)" = "$(key_of <"$RUN/checkout.tar")" ]; then return 0; fi
  stage "disk of the machine" disk
  stage "machine up" machine up
  stage "checkout in the machine" put_checkout
  stage "kind/up.sh in the machine" kind_up
  [ "$WORKERS" = 0 ] || stage "networks of the workers' pods" networks
  described kubeconfig >"$RUN/kubeconfig"; chmod 600 "$RUN/kubeconfig"
  stage "CoreDNS answers" dns
  describe
  key_of <"$RUN/checkout.tar" >"$RUN/checkout.key"
  say_times
  printf 'kubeconfig: %s\nenter:      ip netns exec %s env KUBECONFIG=%s PATH=%s:$PATH bash\n' "$RUN/kubeconfig" "$CLUSTER_NAME" "$RUN/kubeconfig" "$BIN"
}
down() { machine down; "$VM/control-plane.sh" down; rm -rf "$RUN"; }
images() { # builds the Dockerfiles in the machine; sizes as tars and as gzip packs them for a registry, beside the assembled ones
  mkdir -p "$RUN" "$KIND_STORE"; echo kind-vm >"$RUN/provider"
  local built=$REPO/build/e2e/podman-images at; mkdir -p "${built%/*}"; rm -f "$built"   # for bench/e2e.py: the commit, then the lines below
  at=$(git -C "$REPO" describe --always --exclude='*' --abbrev=12 --dirty=+ 2>/dev/null || echo unknown)
  "$VM/packages.sh"; binaries; checkout; disk; machine up; put_checkout
  stage "Dockerfiles built by podman" machine run build "$(environment); $IN/kind/kind.sh build podman >/root/images"
  local name archive; archive=$(mktemp "$RUN/image.XXXXXX"); echo "$at" >"$built.part"
  for name in $(machine sh "cat /root/images"); do
    inside socat -u "TCP-LISTEN:2300,bind=$HOST_IP,reuseaddr" "CREATE:$archive" &
    machine sh "podman save --quiet $name | socat -u - TCP:$HOST_IP:2300,retry=20,interval=0.2"; wait $!
    echo "$name, built by podman: $(($(stat -c %s "$archive") / 1000000)) MB unpacked, $(($(gzip -6c "$archive" | wc -c) / 1000000)) MB compressed" | tee -a "$built.part"
  done
  mv "$built.part" "$built"; rm -f "$archive"; "$VM/make-images.sh" sizes | sed 's/:/, assembled:/'
  say_times
}
case ${1:-} in up) up ;; down) down ;; images) images ;; *) die "usage: cluster.sh up | down | images" ;; esac
