#!/usr/bin/env bash
# build-node-image.sh: the image of kind's nodes, made of our own binaries; prints the path of its archive.
#
# kind's own images come from a registry, and building one takes a container tool and several. This is the same by other
# means: the files that kind's module carries (images/base/files: entry point, units, containerd's configuration) on Debian,
# kubeadm, kubelet and kubectl, and the control plane's images under the names that kubeadm asks for, in the node's containerd.
# In place of kindnet a CNI configuration with `ptp`, which kindnet would write; it serves one node. No local-path provisioner.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
root=$("$HERE/build-root.sh" machine)
key=$(cat "$BIN"/.{kubeadm,kubelet,kubectl,kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,etcd,coredns}.stamp "$VM/images/pause.c" "$VM/gomod/kind/go.sum" \
  "$VM/make-image.py" "${BASH_SOURCE[0]}" <(echo "$root") | key_of)
ARCHIVE=$KIND_STORE/node-image-$key.tar
W=$KIND_STORE/node-image.part; N=$W/node; IMAGES=$N/run/images

kind_files() { cd "$VM/gomod/kind" && echo "$(GOWORK=off GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' sigs.k8s.io/kind)/images/base/files"; }
wanted() { "$BIN/kubeadm" config images list --kubernetes-version "$(kubernetes_version)" 2>/dev/null | grep "/$1:"; }
image() { # name directory entrypoint
  # Few threads of Go for each: on emulated processors idle ones that look for work are what is costly.
  local threads=1; [ "$3" != /usr/local/bin/kube-apiserver ] || threads=2
  "$PYTHON" "$VM/make-image.py" --name "$1" --out "$IMAGES/$(basename "$3").tar" --layer "$2" --entrypoint "[\"$3\"]" \
    --env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env GOMAXPROCS=$threads
}
of_program() { # name-in-kubeadm's-list program
  rm -rf "$W/layer"; mkdir -p "$W"/layer/{usr/local/bin,tmp}; cp "$BIN/$2" "$W/layer/usr/local/bin/"
  [ "$2" != kube-proxy ] || with_nft "$W/layer"
  image "$(wanted "$1")" "$W/layer" "/usr/local/bin/$2"
}
with_nft() { # directory: nft and the libraries that it loads, for kube-proxy
  local file; mkdir -p "$1/usr/sbin"; cp "$N/usr/sbin/nft" "$1/usr/sbin/"
  for file in $(chroot "$N" ldd /usr/sbin/nft | grep -o '/[^ ]*'); do mkdir -p "$1$(dirname "$file")"; cp -L "$N$file" "$1$file"; done
}
pause() {
  rm -rf "$W/layer"; mkdir -p "$W/layer"; gcc -O2 -static -s -o "$W/layer/pause" "$VM/images/pause.c"
  image "$(sed -n 's/.*sandbox_image = "\(.*\)"/\1/p' "$N/etc/containerd/config.toml")" "$W/layer" /pause
}
node() { # what images/base/Dockerfile of kind does
  local files name; files=$(kind_files); mkdir -p "$N"; tar -C "$N" -xf "$root"
  chroot "$N" dpkg --purge --force-depends podman aardvark-dns netavark conmon crun >/dev/null 2>&1 || true
  cp -r "$files/etc/." "$N/etc/"; mkdir -p "$N"/kind/{bin,manifests} "$N"/opt/cni/bin "$N"/etc/cni/net.d "$N"/etc/kubernetes/manifests "$N"/dev
  cp "$files"/kind/bin/* "$N/kind/bin/"; chmod 755 "$N/kind" "$N"/kind/bin/*; install -m 755 "$files/usr/local/bin/entrypoint" "$N/usr/local/bin/"
  for name in containerd ctr containerd-shim-runc-v2; do ln -s "/usr/bin/$name" "$N/usr/local/bin/$name"; done
  cp "$N"/usr/lib/cni/* "$N/opt/cni/bin/"
  for name in kubeadm kubelet kubectl; do install -m 755 "$BIN/$name" "$N/usr/bin/"; done
  kubernetes_version >"$N/kind/version"
  chroot "$N" ctr oci spec | jq '.hooks.createContainer += [{path: "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' >"$N/etc/containerd/cri-base.json"
  rm -f "$N"/lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* "$N"/etc/systemd/system/*.wants/* "$N"/lib/systemd/system/sockets.target.wants/*{udev,initctl}* \
    "$N"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
  for name in kubelet containerd undo-mount-hacks; do chroot "$N" systemctl enable "$name.service" 2>/dev/null; done
  for name in kubelet containerd; do mkdir -p "$N/etc/systemd/system/$name.service.d"; printf '[Service]\nEnvironment=GOMAXPROCS=1 GOGC=200\n' >"$N/etc/systemd/system/$name.service.d/12-emulated.conf"; done
  chroot "$N" systemctl mask systemd-binfmt.service 2>/dev/null; echo ReadKMsg=no >>"$N/etc/systemd/journald.conf"
  printf 'apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: standard}\nprovisioner: none\n' >"$N/kind/manifests/default-storage.yaml"
  echo '{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": true, "ipMasqBackend": "nftables", "ipam": {"type": "host-local",
 "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}, {"type": "portmap", "capabilities": {"portMappings": true}}]}' >"$N/etc/cni/net.d/10-ptp.conflist"
}
bake() { # the layers' own data is dropped once it is unpacked, as kind's configuration of containerd has it
  unshare -m sh -ec '
    mount --make-rprivate /; mount --bind "$1" "$1"; mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; mount -t tmpfs tmp "$1/tmp"
    chroot "$1" /bin/sh -ec "
      printf \"version = 3\ndisabled_plugins = [\\\"io.containerd.cri.v1.runtime\\\",\\\"io.containerd.cri.v1.images\\\",\\\"io.containerd.grpc.v1.cri\\\"]\n\" >/tmp/containerd.toml
      containerd -c /tmp/containerd.toml >/tmp/containerd.log 2>&1 & pid=\$!
      tries=0; until ctr version >/dev/null 2>&1; do sleep 0.1; tries=\$((tries + 1)); [ \$tries -lt 300 ] || { cat /tmp/containerd.log; exit 1; }; done
      for archive in /run/images/*.tar; do ctr -n k8s.io images import --local --digests=false --discard-unpacked-layers --label io.cri-containerd.image=managed \$archive; done
      kill \$pid; wait \$pid || true"' sh "$N" >&2
  rm -rf "$N"/run/* "$N"/tmp/*
}
if [ ! -f "$ARCHIVE" ]; then
  started=$(now); rm -rf "$W"; mkdir -p "$W"
  node; mkdir -p "$IMAGES"
  for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy etcd coredns; do of_program $name $name; done
  pause; bake
  tar -C "$N" --exclude=./dev -cf "$W/node.layer" .; rm -rf "$N"
  "$PYTHON" "$VM/make-image.py" --name "$(node_image)" --out "$ARCHIVE" --layer "$W/node.layer" --env container=docker --entrypoint '["/usr/local/bin/entrypoint","/sbin/init"]'
  rm -rf "$W"
  log "image of kind's nodes: $(since "$started") s, $(du -m "$ARCHIVE" | cut -f1) MB"
fi
echo "$ARCHIVE"
