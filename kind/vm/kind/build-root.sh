#!/usr/bin/env bash
# build-root.sh machine | build-base: a Debian as a tar, cached by suite and package list; prints its path.
#
#   machine      what the machine boots, with podman; and what the image of kind's nodes is made of
#   build-base   the Debian of our images with pip, venv and a C compiler: BUILD_BASE of the Dockerfiles
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
case ${1:-} in
  machine) suite=$DEBIAN_NODE packages=systemd,systemd-sysv,dbus,podman,netavark,aardvark-dns,crun,conmon,containernetworking-plugins,containerd,runc,conntrack,iptables,nftables,iproute2,ethtool,util-linux,mount,kmod,pigz,e2fsprogs,bash,ca-certificates,curl,jq,procps,socat,python3-minimal,libpython3-stdlib,udev ;;
  build-base) suite=$DEBIAN_PYTHON packages=python3,python3-venv,python3-pip,ca-certificates,gcc,libc6-dev ;;
  *) die "usage: build-root.sh machine | build-base" ;;
esac
TAR=$KIND_STORE/$1-$suite-$(echo "$suite $packages" | key_of).tar
if [ ! -f "$TAR" ]; then
  started=$(now); w=$KIND_STORE/$1.part; mkdir -p "$KIND_STORE"
  debian "$suite" "$w" "$packages"
  : >"$w/etc/machine-id"; : >"$w/etc/resolv.conf"; : >"$w/etc/hostname"
  tar -C "$w" --exclude=./dev -cf "$TAR.part" . && mv "$TAR.part" "$TAR"; rm -rf "$w"
  log "Debian $suite, $1: $(since "$started") s, $(du -m "$TAR" | cut -f1) MB"
fi
echo "$TAR"
