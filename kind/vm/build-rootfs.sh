#!/usr/bin/env bash
# build-rootfs.sh [PACKAGE,...]: the nodes' Debian as a tar, cached by suite and package list; prints its path.
# With further packages it is one of its own (`make bench-node`); the nodes' is as it was.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PACKAGES=containerd,runc,containernetworking-plugins,iproute2,iptables,nftables,conntrack,kmod,procps,util-linux,numactl,e2fsprogs,busybox-static,ca-certificates,python3-minimal,libpython3-stdlib,udev,socat,mount${1:+,$1}
TAR=$STORE/rootfs-$DEBIAN_NODE-$(echo "$DEBIAN_NODE $PACKAGES" | key_of).tar
if [ ! -f "$TAR" ]; then
  started=$(now); w=$STORE/rootfs.part; mkdir -p "$STORE"
  debian "$DEBIAN_NODE" "$w" "$PACKAGES"
  : >"$w/etc/machine-id"; : >"$w/etc/resolv.conf"
  tar -C "$w" -cf "$TAR.part" . && mv "$TAR.part" "$TAR"; rm -rf "$w"
  log "rootfs $DEBIAN_NODE: $(since "$started") s, $(du -m "$TAR" | cut -f1) MB"
fi
echo "$TAR"
