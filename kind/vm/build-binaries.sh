#!/usr/bin/env bash
# build-binaries.sh TARGET...: builds Kubernetes' own programs from Go modules into $PLIMSOLL_CACHE/bin.
#
# Targets: apiserver etcd kcm scheduler kubelet kubectl kube-proxy kubeadm coredns kind kwok vpa-recommender metrics-server.
# A binary is kept as long as its stamp (version, module sums, flags) is the one written beside it; go.mod and go.sum pin
# every module, and -mod=readonly refuses to change them. A build goes to a temporary directory and is moved into place
# whole, so an interrupted one leaves nothing that looks finished. BUILD_JOBS bounds the compiler's parallelism.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${PLIMSOLL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll}
BIN=$CACHE/bin
JOBS=${BUILD_JOBS:-2}
GO_NEEDED=1.26
TARGETS="apiserver etcd kcm scheduler kubelet kubectl kube-proxy kubeadm coredns kind kwok vpa-recommender metrics-server"

log() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
die() { printf 'build-binaries.sh: %s\n' "$*" >&2; exit 1; }

# target -> module directory under gomod/, Go package, name of the binary
describe() {
  case $1 in
    apiserver) echo "k8sbin k8s.io/kubernetes/cmd/kube-apiserver kube-apiserver" ;;
    kcm) echo "k8sbin k8s.io/kubernetes/cmd/kube-controller-manager kube-controller-manager" ;;
    scheduler) echo "k8sbin k8s.io/kubernetes/cmd/kube-scheduler kube-scheduler" ;;
    kubelet) echo "k8sbin k8s.io/kubernetes/cmd/kubelet kubelet" ;;
    kubectl) echo "k8sbin k8s.io/kubernetes/cmd/kubectl kubectl" ;;
    kube-proxy) echo "k8sbin k8s.io/kubernetes/cmd/kube-proxy kube-proxy" ;;
    kubeadm) echo "k8sbin k8s.io/kubernetes/cmd/kubeadm kubeadm" ;;
    etcd) echo "etcd . etcd" ;;
    kind) echo "kind . kind" ;;
    kwok) echo "kwok sigs.k8s.io/kwok/cmd/kwok kwok" ;;
    coredns) echo "coredns . coredns" ;;
    vpa-recommender) echo "vpa k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender vpa-recommender" ;;
    metrics-server) echo "metrics-server sigs.k8s.io/metrics-server/cmd/metrics-server metrics-server" ;;
    *) die "unknown target '$1' (there are: $TARGETS)" ;;
  esac
}

require_go() {
  command -v go >/dev/null || die "Go is not installed (no 'go' in PATH); install Go $GO_NEEDED or newer and try again"
  local version; version=$(GOTOOLCHAIN=local go env GOVERSION); version=${version#go}
  [ "$(printf '%s\n' "$GO_NEEDED" "$version" | sort -V | head -1)" = "$GO_NEEDED" ] ||
    die "Go $version is too old; the modules need Go $GO_NEEDED or newer"
}

# Kubernetes reports the version that is stamped in; without it clients see v0.0.0 and refuse to talk.
ldflags() { # module directory
  [ "$1" = k8sbin ] || { echo "-s -w"; return; }
  local v=k8s.io/component-base/version c=k8s.io/client-go/pkg/version full minor p out="-s -w"
  full=$(sed -nE 's/^(require)?[[:space:]]*k8s\.io\/kubernetes (v[0-9.]+)( .*)?$/\2/p' "$HERE/gomod/k8sbin/go.mod" | head -1)
  [ -n "$full" ] || die "gomod/k8sbin/go.mod does not say which version of k8s.io/kubernetes it wants"
  minor=${full#v1.}; minor=${minor%%.*}
  for p in "$v" "$c"; do out+=" -X $p.gitVersion=$full -X $p.gitMajor=1 -X $p.gitMinor=$minor"; done
  echo "$out -X $v.gitTreeState=clean"
}

# Two programs give an emulated machine too little time, and no flag changes that: kind waits 30 s for a node's systemd, and
# kubeadm 10 s for the answer to one HTTP request. They are built from a copy of their module (the same, by its sum in go.sum)
# in which that one line says more. (go refuses -overlay beneath GOMODCACHE.)
patience() { # target: module, file, change
  case $1 in
    kind) echo 'sigs.k8s.io/kind pkg/cluster/internal/providers/podman/provision.go s/30\*time.Second/900*time.Second/' ;;
    kubeadm) echo 'k8s.io/kubernetes cmd/kubeadm/app/util/kubeconfig/kubeconfig.go s/Timeout:."10s"/Timeout:"300s"/' ;;
  esac
}
patient() { # target: a flag of go build, or nothing
  local module file change copy=$SCRATCH/patient; read -r module file change <<<"$(patience "$1")"
  [ -n "$module" ] || return 0
  rm -rf "$copy"; cp -r "$(go list -m -f '{{.Dir}}' "$module")" "$copy"; chmod -R u+w "$copy"
  cp "$copy/$file" "$SCRATCH/before"; sed -i "$change" "$copy/$file"
  ! cmp -s "$SCRATCH/before" "$copy/$file" || die "$file of $module no longer says what is to be changed: see whether $1 still needs patience"
  cp go.sum "$copy.sum"; { cat go.mod; echo "replace $module => $copy"; } >"$copy.mod"
  echo "-modfile=$copy.mod"
}

stamp_of() { # module directory, package, flags
  local sums; sums=$(cd "$HERE/gomod/$1" && cat -- go.mod go.sum $(ls -- *.go 2>/dev/null) | sha256sum | cut -c1-16)
  echo "$2 $sums $3"
}

download() { # module directory, package. A step of its own, so that a missing network is told apart from a broken build;
  # `go list -deps` fetches what this package needs, `go mod download` would fetch everything.
  go list -deps "$2" >/dev/null 2>"$SCRATCH/download.log" && return
  tail -5 "$SCRATCH/download.log" >&2
  die "could not download the Go modules of gomod/$1 (no network, or GOPROXY/GOFLAGS forbid it); nothing was changed"
}

build() { # target
  local dir package name flags stamp started scratch_bin; read -r dir package name <<<"$(describe "$1")"
  [ -n "$name" ] || exit 1
  [ -f "$HERE/gomod/$dir/go.sum" ] || die "gomod/$dir/go.sum is missing: cannot build $name"
  flags=$(ldflags "$dir"); stamp=$(stamp_of "$dir" "$package" "$flags"); stamp+=$(patience "$1")
  if [ -x "$BIN/$name" ] && [ "$(cat "$BIN/.$name.stamp" 2>/dev/null)" = "$stamp" ]; then log "$name: cached in $BIN"; return; fi
  require_go
  started=$(date +%s); scratch_bin=$SCRATCH/$name
  cd "$HERE/gomod/$dir"
  log "$name: downloading modules"; download "$dir" "$package"
  log "$name: go build -p $JOBS $package (minutes when Go's cache is cold)"
  local more; more=$(patient "$1")
  go build -p "$JOBS" ${more:+"$more"} -trimpath -ldflags "$flags" -o "$scratch_bin" "$package" || die "go build of $package failed"
  if [ "$1" = vpa-recommender ]; then # its CRDs, which the bench installs
    install -m 644 "$(go list -m -f '{{.Dir}}' k8s.io/autoscaler/vertical-pod-autoscaler)/deploy/vpa-v1-crd-gen.yaml" "$BIN/vpa-crds.yaml"
  fi
  if [ "$1" = kwok ]; then # what it does with nodes and pods, without which it ends at once
    local stages; stages=$(go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
    for stage in "$stages"/node/{fast,heartbeat-with-lease}/node-*.yaml "$stages"/pod/fast/pod-*.yaml; do cat "$stage"; echo "---"; done \
      >"$SCRATCH/stages" && install -m 644 "$SCRATCH/stages" "$BIN/kwok-stages.yaml"
  fi
  rm -f "$BIN/.$name.stamp"
  mv -f "$scratch_bin" "$BIN/$name"
  printf '%s\n' "$stamp" >"$SCRATCH/stamp" && mv -f "$SCRATCH/stamp" "$BIN/.$name.stamp"
  log "$name: built in $(($(date +%s) - started)) s"
}

[ $# -gt 0 ] || die "name at least one target: $TARGETS"
mkdir -p "$BIN" || die "cannot create $BIN (set PLIMSOLL_CACHE to a directory that can be written)"
exec 9>"$BIN/.lock"
if command -v flock >/dev/null; then flock 9; fi # a second build waits, then finds the first one's result
# On the same file system as BIN, so that mv is a rename.
SCRATCH=$(mktemp -d "$BIN/.build.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT
# -mod=readonly: go.mod and go.sum are the lock. GOWORK=off: a workspace file of the caller's must not change what is built.
export CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off GOTOOLCHAIN=local
for target in "$@"; do build "$target"; done
