# Which provider a cluster comes from; sourced by up.sh and down.sh, which set nothing of it themselves.
KIND_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER_NAME=${PLIMSOLL_CLUSTER_NAME:-plimsoll}
RUN=${XDG_STATE_HOME:-$HOME/.local/state}/plimsoll/$CLUSTER_NAME

die() { printf '%s\n' "$*" >&2; exit 1; }
container_tool() { # docker or podman, whichever answers
  local tool; for tool in docker podman; do
    if command -v $tool >/dev/null && timeout 20 $tool info >/dev/null 2>&1; then echo $tool; return 0; fi
  done; return 1
}
vm_possible() { # Go, to build Kubernetes; QEMU and its friends are there, or apt can bring them
  [ "$(id -u)" = 0 ] && command -v go >/dev/null || return 1
  "$KIND_DIR/vm/packages.sh" check >/dev/null || { command -v apt-get >/dev/null && apt-cache show qemu-system-x86 >/dev/null 2>&1; }
}
provider() { # PLIMSOLL_CLUSTER wins; then what this machine can do
  case ${PLIMSOLL_CLUSTER:-} in
    kind | vm | kind-vm | kubeconfig) echo "$PLIMSOLL_CLUSTER" ;;
    "") if command -v kind >/dev/null && container_tool >/dev/null; then echo kind
      elif vm_possible; then echo vm
      else die "no cluster can be had here: kind needs the program 'kind' and a docker or podman that answers; VM nodes need root, Go
and Debian packages (missing: $("$KIND_DIR/vm/packages.sh" check || true)). Or name a cluster of yours: PLIMSOLL_CLUSTER=kubeconfig KUBECONFIG=..."; fi ;;
    *) die "PLIMSOLL_CLUSTER is '$PLIMSOLL_CLUSTER'; it may be kind, vm, kubeconfig, or kind-vm" ;;
  esac
}
