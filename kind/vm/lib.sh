# Settings and small functions of the VM provider; sourced, not run. Nothing here starts or changes anything.
VM=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${PLIMSOLL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll}
BIN=$CACHE/bin
STORE=$CACHE/vm                                      # kernel, rootfs, images, disks: the same for every cluster
CLUSTER_NAME=${PLIMSOLL_CLUSTER_NAME:-plimsoll}      # also the name of the private network namespace
RUN=${XDG_STATE_HOME:-$HOME/.local/state}/plimsoll/$CLUSTER_NAME   # state of one cluster
NODES=${PLIMSOLL_NODES:-2}

DEBIAN_NODE=forky                                    # the nodes' userland: its containerd is >= 2, which kubelet wants
DEBIAN_PYTHON=trixie                                 # the images' userland
PYTHON_VERSION=3.13                                  # what DEBIAN_PYTHON has
KERNEL_FLAVOUR=cloud-amd64

# Addresses exist only inside the namespace, so clusters with other names do not collide.
HOST_IP=10.77.0.1; NODE_NET=10.77.0; POD_NET=10.244; SERVICE_NET=10.96.0.0/16; API_IP=10.96.0.1; DNS_IP=10.96.0.10
NODE_SHELL_PORT=2222

log() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
die() { log "$*"; exit 1; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
key_of() { sha256sum | cut -c1-16; }                 # of standard input
inside() { ip netns exec "$CLUSTER_NAME" "$@"; }
kubectl() { inside "$BIN/kubectl" --kubeconfig "$RUN/kubeconfig" "$@"; }
mirror() { # the Debian mirror that this machine uses already
  (. /etc/os-release; [ "${ID:-}" = debian ]) || die "the VM provider builds its nodes from this machine's own Debian mirror; this is no Debian"
  awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2>/dev/null | grep . ||
    awk '/^deb / { for (i = 2; i <= NF; i++) if ($i ~ "://") { print $i; exit } }' /etc/apt/sources.list | grep . ||
    die "no Debian mirror found in /etc/apt: the VM provider builds its nodes with debootstrap and needs one"
}
debian() { # suite directory packages: a minimal Debian without what only people read
  local script=/usr/share/debootstrap/scripts/$1 from
  from=$(mirror) || exit 1
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid   # suites newer than this machine's debootstrap
  rm -rf "$2"
  debootstrap --variant=minbase --include="$3" "$1" "$2" "$from" "$script" >"$2.log" 2>&1 || { tail -n 15 "$2.log" >&2; die "debootstrap of $1 failed; its log is $2.log"; }
  rm -rf "$2.log" "$2"/var/cache/apt/* "$2"/var/lib/apt/lists/* "$2"/usr/share/{doc,man,locale,info,lintian,i18n} "$2"/etc/apt/sources.list* "$2"/var/log/*
}
SERVING=                                             # who listens with a file for a node; a node that never came would get it later
serve_once() { # file port: to the first who connects, from inside the cluster's namespace
  (exec ip netns exec "$CLUSTER_NAME" socat -u "FILE:$1" "TCP-LISTEN:$2,bind=$HOST_IP,reuseaddr" 8>&- 9>&-) &
  SERVING=$!
  sleep 0.1; kill -0 "$SERVING" 2>/dev/null || die "port $2 of $HOST_IP is taken: $1 cannot be given to a node"
}
not_taken() { kill "$SERVING" 2>/dev/null || true; die "$*"; }   # nobody came for the file
node_sh() { # number command: run it in a node's root shell; its status is this function's
  local number=$1 out; shift
  out=$({ printf '(%s\n) 2>&1 </dev/null; echo "__status=$?"; exit\n' "$*"; } | inside socat -t 600 -T 600 - "TCP:$NODE_NET.$((10 + number)):$NODE_SHELL_PORT") || return 255
  case $out in
    *__status=*) printf '%s' "${out%__status=*}"; return "${out##*__status=}" ;;
    *) printf '%s\n' "$out"; return 255 ;;
  esac
}
