#!/usr/bin/env bash
# build-kernel.sh: Debian's kernel for the nodes and an initramfs that finds the disk; prints their directory.
#
# apt fetches the packages with a state directory of its own: the machine's apt is not touched, signatures are checked.
# The suite moves, so its Release file may have run out (Check-Valid-Until); what was fetched once is kept.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
K=$STORE/kernel-$DEBIAN_NODE-$KERNEL_FLAVOUR-$(cat "$VM/node/initramfs-init" "${BASH_SOURCE[0]}" | key_of)
W=$K.part
private_apt() { # apt-get|apt-cache arguments
  local program=$1; shift
  "$program" -oDir::Etc::sourcelist="$W/apt/sources.list" -oDir::Etc::sourceparts="$W/apt/none" -oDir::Etc::preferencesparts="$W/apt/none" \
    -oDir::State::lists="$W/apt/lists" -oDir::State::status="$W/apt/status" -oDir::Cache="$W/apt/cache" \
    -oAcquire::Check-Valid-Until=false -oAPT::Sandbox::User=root "$@"
}
fetch() { # sets VERSION
  mkdir -p "$W"/apt/{lists/partial,cache/archives/partial,none} "$W/debs"; : >"$W/apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $DEBIAN_NODE main" >"$W/apt/sources.list"
  private_apt apt-get update -qq
  VERSION=$(private_apt apt-cache show "linux-image-$KERNEL_FLAVOUR" | sed -nE 's/^Depends:.*linux-image-([0-9][^ ,]*).*/\1/p' | head -1)
  [ -n "$VERSION" ] || die "apt knows no linux-image-$KERNEL_FLAVOUR in $DEBIAN_NODE"
  local names; names=$(private_apt apt-cache pkgnames linux- | grep -Fx -e "linux-image-$VERSION" -e "linux-binary-$VERSION" -e "linux-modules-$VERSION" -e "linux-base-$VERSION")
  # shellcheck disable=SC2086
  (cd "$W/debs" && private_apt apt-get download -qq $names)
}
unpack() {
  local deb; for deb in "$W"/debs/*.deb; do dpkg-deb -x "$deb" "$W/x"; done
  if [ -d "$W/x/lib/modules" ]; then mkdir -p "$W/x/usr/lib"; cp -a "$W/x/lib/modules" "$W/x/usr/lib/"; fi
  MODULES=$W/x/usr/lib/modules/$VERSION
  cp "$(ls "$MODULES/vmlinuz" "$W/x/boot/vmlinuz-$VERSION" 2>/dev/null | head -1)" "$W/vmlinuz"
  depmod -b "$W/x/usr" "$VERSION" 2>/dev/null || depmod -b "$W/x" "$VERSION"
}
initramfs() { # busybox and the modules that the root disk needs, dependencies first
  local i=$W/initramfs module file name
  mkdir -p "$i"/{bin,mod,dev,new}; cp "$(command -v busybox)" "$i/bin/busybox"; install -m 755 "$VM/node/initramfs-init" "$i/init"; : >"$i/mod/order"
  for module in virtio_blk virtio_net ext4; do
    for file in $(modprobe -d "$W/x/usr" -S "$VERSION" --show-depends "$module" 2>/dev/null | awk '/^insmod/ { print $2 }'); do
      name=$(basename "$file"); name=${name%.xz}; name=${name%.zst}
      [ ! -e "$i/mod/$name" ] || continue
      case $file in *.xz) xz -dc "$file" ;; *.zst) zstd -qdc "$file" ;; *) cat "$file" ;; esac >"$i/mod/$name"
      echo "$name" >>"$i/mod/order"
    done
  done
  grep -q virtio_blk "$i/mod/order" || die "kernel $VERSION: no module virtio_blk found for the initramfs"
  (cd "$i" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$W/initrd"
}
if [ ! -f "$K/version" ]; then
  started=$(now); rm -rf "$W"; mkdir -p "$W"
  fetch; unpack; initramfs
  rm -f "$MODULES"/{vmlinuz,config,System.map}; mv "$W/x/usr/lib/modules" "$W/modules"
  rm -rf "$W"/{apt,debs,x,initramfs}; echo "$VERSION" >"$W/version"; rm -rf "$K"; mv "$W" "$K"
  log "kernel $VERSION: $(since "$started") s, $(du -sm "$K" | cut -f1) MB"
fi
echo "$K"
