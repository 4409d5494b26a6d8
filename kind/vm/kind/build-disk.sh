#!/usr/bin/env bash
# build-disk.sh: the disk of the machine that kind runs in (podman, kind, kubectl, images); prints its path.
#
# The images are loaded natively: the rootfs' own podman runs in a private mount namespace with an empty /sys, so that it
# neither finds nor touches the cgroups of the computer that builds the disk. Cached by the content of everything in it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
DISK_MB=16384
kernel=$("$VM/build-kernel.sh"); root=$("$HERE/build-root.sh" machine); build_base=$("$HERE/build-root.sh" build-base); node=$("$HERE/build-node-image.sh")
"$VM/make-images.sh" baked >/dev/null; base=$(base_layer)
key=$(cat "$BIN"/.{kind,kubectl}.stamp "$kernel/version" "$HERE"/machine/* "${BASH_SOURCE[0]}" "$HERE/lib.sh" <(echo "$root $build_base $node $base") | key_of)
DISK=$KIND_STORE/disk-$key.raw

unpack() { # directory
  rm -rf "$1"; mkdir -p "$1"; tar -C "$1" -xf "$root"
  mkdir -p "$1"/usr/lib/modules "$1"/node "$1"/etc/containers "$1"/dev "$1"/run/images; cp -a "$kernel/modules/." "$1/usr/lib/modules/"
  install -m 755 "$HERE/machine/setup" "$HERE/machine/shell" "$1/node/"; install -m 644 "$HERE/machine/inittab" "$1/etc/inittab"
  install -m 644 "$HERE/machine/containers.conf" "$1/etc/containers/"; echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$1/etc/containers/policy.json"
  install -m 755 "$BIN/kind" "$BIN/kubectl" "$1/usr/local/bin/"
  install -m 755 "$(command -v busybox)" "$1/node/busybox"
  printf '#!/node/busybox sh\nexec -a init /node/busybox init\n' >"$1/node/busybox-init"; chmod 755 "$1/node/busybox-init"
}
archives() { # directory
  ln "$node" "$1/node.tar" 2>/dev/null || cp "$node" "$1/node.tar"
  "$PYTHON" "$VM/make-image.py" --name "$PODMAN_BASE" --out "$1/base.tar" --layer "$base"
  "$PYTHON" "$VM/make-image.py" --name "$PODMAN_BUILD_BASE" --out "$1/build-base.tar" --layer "$build_base"
}
load() { # directory
  archives "$1/run/images"
  unshare -m sh -ec '
    mount --make-rprivate /; mount --bind "$1" "$1"; mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"
    mount -t tmpfs tmp "$1/tmp"; mount -t tmpfs sys "$1/sys"; mkdir -p "$1/sys/fs/cgroup" "$1/run/lock" "$1/var/tmp"
    export PODMAN_IGNORE_CGROUPSV1_WARNING=1
    for archive in node base build-base; do chroot "$1" podman load --quiet -i "/run/images/$archive.tar"; done' sh "$1" >&2
  rm -rf "$1"/run/* "$1"/tmp/*
}
if [ ! -f "$DISK" ]; then
  started=$(now); tree=$KIND_STORE/disk.part
  unpack "$tree"; load "$tree"
  mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 -O ^metadata_csum_seed,^orphan_file -d "$tree" "$DISK.part" "${DISK_MB}M"
  mv "$DISK.part" "$DISK"; rm -rf "$tree"
  log "disk of kind's machine: $(since "$started") s, $(du -m "$DISK" | cut -f1) MB used of $DISK_MB"
fi
echo "$DISK"
