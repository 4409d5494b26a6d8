# Which provider a cluster comes from; sourced by up.sh and down.sh, which set nothing of it themselves.
KIND_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER_NAME=${PLIMSOLL_CLUSTER_NAME:-plimsoll}
RUN=${XDG_STATE_HOME:-$HOME/.local/state}/plimsoll/$CLUSTER_NAME

NONE_POSSIBLE=3                                      # exit status: this machine can have no cluster at all
die() { printf '%s\n' "$*" >&2; exit "${STATUS:-1}"; }
in_time() { if command -v timeout >/dev/null; then timeout 20 "$@"; else "$@"; fi; } # macOS has no timeout
container_tool() { # docker or podman, whichever answers
  local tool; for tool in docker podman; do
    if command -v $tool >/dev/null && in_time $tool info >/dev/null 2>&1; then echo $tool; return 0; fi
  done; return 1
}
vm_possible() { # Debian on x86; Go, to build Kubernetes; network namespaces; QEMU and its friends are there, or apt can bring them
  [ "$(id -u)" = 0 ] && [ "$(uname -m)" = x86_64 ] && command -v go >/dev/null || return 1
  grep -qx 'ID=debian' /etc/os-release 2>/dev/null && unshare --net true 2>/dev/null || return 1
  "$KIND_DIR/vm/packages.sh" check >/dev/null || { command -v apt-get >/dev/null && apt-cache show qemu-system-x86 >/dev/null 2>&1; }
}
provider() { # PLIMSOLL_CLUSTER wins; then what this machine can do
  case ${PLIMSOLL_CLUSTER:-} in
    kind | vm | kind-vm | kubeconfig) echo "$PLIMSOLL_CLUSTER" ;;
    "") if container_tool >/dev/null; then
        command -v kind >/dev/null || die "$(container_tool) answers, but the program 'kind' is not installed; install it, or PLIMSOLL_CLUSTER=vm"
        echo kind
      elif vm_possible; then echo vm
      else STATUS=$NONE_POSSIBLE die "no cluster can be had here: kind needs the program 'kind' and a docker or podman that answers; VM nodes need root on
Debian (x86-64) with the right to make network namespaces, Go and Debian packages (missing: $("$KIND_DIR/vm/packages.sh" check || true)). Or name a cluster of yours: PLIMSOLL_CLUSTER=kubeconfig KUBECONFIG=..."; fi ;;
    *) die "PLIMSOLL_CLUSTER is '$PLIMSOLL_CLUSTER'; it may be kind, vm, kubeconfig, or kind-vm" ;;
  esac
}
