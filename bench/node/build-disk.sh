#!/usr/bin/env bash
# build-disk.sh: the disk of `make bench-node`'s machine; prints its path.
#
# The rootfs script of the end-to-end nodes with Redis, a JRE and Python's whole library beside them, their kernel's modules,
# locked wheels, and the compiled guest programs. Cached in $PLIMSOLL_CACHE by the content of everything in it; our own Python
# comes on a second disk at each start (bench/node_vm.py), so that a change of code does not make this one anew.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); REPO=$(cd "$HERE/../.." && pwd)
. "$REPO/kind/vm/lib.sh"
UV=${UV:-$REPO/.venv/bin/uv}
DISK_MB=3072
EXTRA=redis-server,openjdk-25-jre-headless,python3
WHEELS="numpy pydantic prometheus-client"             # what the agent and the core import on a node
GUEST_PYTHON=3.14                                     # what DEBIAN_NODE has
SITE=opt/plimsoll/site

kernel=$("$VM/build-kernel.sh"); rootfs=$("$VM/build-rootfs.sh" "$EXTRA")
pins() { grep -E '^(annotated-types|grpcio|numpy|prometheus-client|pydantic|pydantic-core|typing-extensions|typing-inspection)==' "$REPO/requirements/dev.lock" | tr -d '\\'; }
key=$({ cat "$kernel/version" "$HERE"/{build-disk.sh,inittab,setup} "$HERE"/guest/{Service.java,stress.c}; pins; echo "$rootfs $WHEELS"; } | key_of)
DISK=$STORE/bench-$key.raw

unpack() { # directory
  rm -rf "$1"; mkdir -p "$1"; tar -C "$1" -xf "$rootfs"
  mkdir -p "$1"/usr/lib/modules "$1"/node "$1/$SITE" "$1/opt/bench"
  cp -a "$kernel/modules/." "$1/usr/lib/modules/"
  install -m 755 "$HERE/setup" "$1/node/"; install -m 644 "$HERE/inittab" "$1/etc/inittab"
  install -m 755 "$(command -v busybox)" "$1/node/busybox"
  printf '#!/node/busybox sh\nexec -a init /node/busybox init\n' >"$1/node/busybox-init"; chmod 755 "$1/node/busybox-init"
}
wheels() { # directory; hashes are those of the lock
  local python; python=$(chroot "$1" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [ "$python" = "$GUEST_PYTHON" ] || die "Debian $DEBIAN_NODE has Python $python, not $GUEST_PYTHON: set GUEST_PYTHON in bench/node/build-disk.sh"
  # shellcheck disable=SC2086
  "$UV" pip install --quiet --only-binary :all: --link-mode copy --python-version "$GUEST_PYTHON" --python-platform x86_64-manylinux_2_28 \
    --target "$1/$SITE" --constraints "$REPO/requirements/dev.lock" $WHEELS
  rm -rf "$1/$SITE/bin"; find "$1/$SITE" -type d -name tests -prune -exec rm -rf {} +
}
compile() { # directory: Java and Python with its own programs, which is slow on an emulated machine
  cp "$HERE/guest/Service.java" "$1/opt/bench/"
  gcc -O2 -static -s -o "$1/opt/bench/stress" "$HERE/guest/stress.c"
  unshare -m sh -ec '
    mount --make-rprivate /; mount -t proc proc "$1/proc"
    chroot "$1" java -m jdk.compiler/com.sun.tools.javac.Main -d /opt/bench /opt/bench/Service.java
    chroot "$1" python3 -m compileall -q --invalidation-mode unchecked-hash "/$2" "/usr/lib/python$3" >/dev/null || true' sh "$1" "$SITE" "$GUEST_PYTHON" >&2
  [ -f "$1/opt/bench/Service.class" ] || die "Service.java was not compiled"
}
if [ ! -f "$DISK" ]; then
  started=$(now); tree=$STORE/bench.part
  unpack "$tree"; wheels "$tree"; compile "$tree"
  mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 -O ^metadata_csum_seed,^orphan_file -d "$tree" "$DISK.part" "${DISK_MB}M"
  mv "$DISK.part" "$DISK"; rm -rf "$tree"
  log "disk of the node benchmark: $(since "$started") s, $(du -m "$DISK" | cut -f1) MB used of $DISK_MB"
fi
echo "$DISK"
