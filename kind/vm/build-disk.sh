#!/usr/bin/env bash
# build-disk.sh: the disk all node VMs start from (rootfs, modules, kubelet, kube-proxy, services, images); prints its path.
#
# Cached by the content of everything in it. Images are baked into containerd's store natively, with the rootfs' own
# containerd in a private mount namespace: importing them in an emulated node takes ten times as long.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
DISK_MB=6144
kernel=$("$VM/build-kernel.sh"); rootfs=$("$VM/build-rootfs.sh"); images=$("$VM/make-images.sh" baked)
key=$(cat "$BIN/.kubelet.stamp" "$BIN/.kube-proxy.stamp" "$kernel/version" "$VM"/node/* "${BASH_SOURCE[0]}" <(echo "$rootfs $images") | key_of)
DISK=$STORE/node-$key.raw

unpack() { # directory
  local program
  rm -rf "$1"; mkdir -p "$1"; tar -C "$1" -xf "$rootfs"
  mkdir -p "$1"/usr/lib/modules "$1"/node "$1"/etc/containerd "$1"/etc/cni/net.d "$1"/etc/kubernetes/manifests "$1"/var/lib/kubelet "$1"/var/lib/kube-proxy
  cp -a "$kernel/modules/." "$1/usr/lib/modules/"
  for program in kubelet kube-proxy; do install -m 755 "$BIN/$program" "$1/usr/local/bin/"; done
  install -m 755 "$VM/node/setup" "$VM/node/service" "$1/node/"
  install -m 644 "$VM/node/inittab" "$1/etc/inittab"; install -m 644 "$VM/node/containerd.toml" "$1/etc/containerd/config.toml"
  install -m 755 "$(command -v busybox)" "$1/node/busybox"
  printf '#!/node/busybox sh\nexec -a init /node/busybox init\n' >"$1/node/busybox-init"; chmod 755 "$1/node/busybox-init"
}
bake() { # directory: import the images with its containerd
  mkdir -p "$1/run/images"
  local image; for image in $images; do cp "$image" "$1/run/images/"; done
  unshare -m sh -ec '
    mount --make-rprivate /; mount --bind "$1" "$1"; mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; mount -t tmpfs tmp "$1/tmp"
    chroot "$1" /bin/sh -ec "
      printf \"version = 3\ndisabled_plugins = [\\\"io.containerd.cri.v1.runtime\\\",\\\"io.containerd.cri.v1.images\\\",\\\"io.containerd.grpc.v1.cri\\\"]\n\" >/tmp/containerd.toml
      containerd -c /tmp/containerd.toml >/tmp/containerd.log 2>&1 & pid=\$!
      tries=0; until ctr version >/dev/null 2>&1; do sleep 0.1; tries=\$((tries + 1)); [ \$tries -lt 300 ] || { cat /tmp/containerd.log; exit 1; }; done
      for archive in /run/images/*.tar; do ctr -n k8s.io images import --local --digests=false --label io.cri-containerd.image=managed \$archive; done
      kill \$pid; wait \$pid || true"' sh "$1" >&2
  rm -rf "$1"/run/* "$1"/tmp/*
}
if [ ! -f "$DISK" ]; then
  started=$(now); tree=$STORE/disk.part
  unpack "$tree"; bake "$tree"
  mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 -O ^metadata_csum_seed,^orphan_file -d "$tree" "$DISK.part" "${DISK_MB}M"
  mv "$DISK.part" "$DISK"; rm -rf "$tree"
  log "node disk: $(since "$started") s, $(du -m "$DISK" | cut -f1) MB used of $DISK_MB"
fi
echo "$DISK"
