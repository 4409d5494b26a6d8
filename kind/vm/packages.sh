#!/usr/bin/env bash
# packages.sh [check]: makes sure that the Debian packages which the VM provider needs are there.
# As root they are installed with apt-get (and it says so); otherwise, or with `check`, the missing ones are named.
set -euo pipefail
# program:package
NEEDED="debootstrap:debootstrap qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils busybox:busybox-static cpio:cpio
zstd:zstd xz:xz-utils depmod:kmod socat:socat jq:jq mkfs.ext4:e2fsprogs gcc:gcc ip:iproute2 openssl:openssl curl:curl unshare:util-linux"
PATH=$PATH:/usr/sbin:/sbin

missing=()
for pair in $NEEDED; do command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}"); done
[ -e /usr/share/seabios/bios-256k.bin ] || missing+=(seabios)
[ -e /usr/lib/ipxe/qemu/efi-virtio.rom ] || missing+=(ipxe-qemu)
[ -e /usr/lib/x86_64-linux-gnu/libc.a ] || missing+=(libc6-dev)
[ "${#missing[@]}" -gt 0 ] || exit 0
if [ "${1:-}" = check ]; then printf '%s\n' "${missing[*]}"; exit 1; fi
[ "$(id -u)" = 0 ] || { echo "packages.sh: not root, and these Debian packages are missing: ${missing[*]}" >&2; exit 1; }
command -v apt-get >/dev/null || { echo "packages.sh: no apt-get here, and these Debian packages are missing: ${missing[*]}" >&2; exit 1; }
echo "packages.sh: installing with apt-get: ${missing[*]}" >&2
install_missing() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
install_missing 2>/dev/null || { apt-get update -qq && install_missing; } || { echo "packages.sh: apt-get could not install: ${missing[*]}" >&2; exit 1; }
