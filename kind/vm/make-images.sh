#!/usr/bin/env bash
# make-images.sh base | baked | thin | full | sizes: the nodes' images as OCI archives, without docker and without a registry.
#
#   base    Debian's Python alone, as a layer; prints its path.
#   baked   what does not change with Plimsoll's code: pause, load (the tests' workload), and the layers below the operator
#           and the agent (Debian's Python, locked dependencies). Prints the archives' paths; they go into the base disk.
#   thin    operator and agent with the data of their own layer only. Prints "part image archive" lines.
#   full    the same with all layers, for `kind load image-archive` and the like.
#   sizes   unpacked and compressed (gzip, as a registry keeps them) size of both.
# Layers are cached in $PLIMSOLL_CACHE by the content they are made of.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
REPO=$(cd "$VM/../.." && pwd)
UV=${UV:-$REPO/.venv/bin/uv}; PYTHON=${PYTHON:-$REPO/.venv/bin/python}
I=$STORE/images; W=$I/part; mkdir -p "$I"
# An environment without pip, as in operator/Dockerfile and nodeagent/Dockerfile.
HOME_DIR=opt/plimsoll; SITE=$HOME_DIR/lib/python$PYTHON_VERSION/site-packages
# A layer is made anew when what makes layers changes; how an image is called and started is not among it.
LAYER_MAKERS="debian compile pack base_layer chroot_with only_home make_deps_layer make_app_layer script small"

# Compiling at run time is slow on an emulated node; unchecked, because a layer's times are all zero.
compile() { chroot "$1" python3 -m compileall -q --invalidation-mode unchecked-hash -x 'kubernetes/(client|aio/client)/(models|api)/' "/$2"; }
pack() { tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --exclude=./dev -cf "$2.part" . && mv "$2.part" "$2"; }
image() { "$PYTHON" "$VM/make-image.py" "$@"; }

base_layer() { # Debian's Python; nothing that installs, and no Perl
  [ ! -f "$BASE" ] || return 0
  local started; started=$(now); rm -rf "$W"
  debian "$DEBIAN_PYTHON" "$W" python3,ca-certificates,procps
  find "$W" -name __pycache__ -prune -exec rm -rf {} +
  rm -rf "$W"/usr/share/{perl*,python3,bash-completion,gcc} "$W"/usr/lib/x86_64-linux-gnu/{perl*,gconv} "$W"/usr/bin/perl* \
    "$W"/usr/lib/apt "$W"/usr/bin/apt* "$W"/var/lib/dpkg/info "$W"/var/cache/* "$W"/usr/lib/x86_64-linux-gnu/libapt* "$W"/usr/sbin/{fsck,mkfs,mke2fs,e2fsck}*
  echo 'plimsoll:x:65532:65532::/nonexistent:/usr/sbin/nologin' >>"$W/etc/passwd"; echo 'plimsoll:x:65532:' >>"$W/etc/group"
  : >"$W/etc/machine-id"; : >"$W/etc/resolv.conf"; : >"$W/etc/hostname"
  compile "$W" "usr/lib/python$PYTHON_VERSION"
  pack "$W" "$BASE"; rm -rf "$W"
  log "layer of Debian $DEBIAN_PYTHON with Python: $(since "$started") s, $(du -m "$BASE" | cut -f1) MB"
}
chroot_with() { # directory: the base layer unpacked, to compile with its Python
  rm -rf "$1"; mkdir -p "$1"; tar -C "$1" -xf "$BASE"
}
only_home() { # directory layer: packs /opt/plimsoll alone
  rm -rf "$1.only"; mkdir -p "$1.only/$(dirname "$HOME_DIR")"; mv "$1/$HOME_DIR" "$1.only/$HOME_DIR"; pack "$1.only" "$2"; rm -rf "$1" "$1.only"
}
deps_layer() { echo "$I/$1-deps-$(cat "$REPO/requirements/$1.lock" <(echo "$PYTHON_VERSION $SCRIPT") | key_of).layer"; }
make_deps_layer() { # operator|agent
  local layer started; layer=$(deps_layer "$1"); [ ! -f "$layer" ] || return 0
  base_layer; started=$(now); chroot_with "$W"; chroot "$W" python3 -m venv --without-pip "/$HOME_DIR"
  "$UV" pip install --quiet --no-deps --require-hashes --only-binary :all: --link-mode copy --python-version "$PYTHON_VERSION" \
    --python-platform x86_64-manylinux_2_28 --target "$W/$SITE" -r "$REPO/requirements/$1.lock"
  rm -rf "$W/$SITE/bin"; cp "$REPO/requirements/$1.lock" "$W/$HOME_DIR/"
  compile "$W" "$SITE"; only_home "$W" "$layer"
  log "layer of $1's dependencies: $(since "$started") s, $(du -m "$layer" | cut -f1) MB"
}
sources_key() { (cd "$REPO" && find core operator nodeagent cli proto pyproject.toml README.md LICENSE -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | key_of); }
packages_of() { case $1 in operator) echo "plimsoll plimsoll_operator plimsoll_proto" ;; agent) echo "plimsoll plimsoll_nodeagent plimsoll_proto" ;; esac; }
app_layer() { echo "$I/$1-app-$(cat "$VM/make-image.py" <(echo "$SOURCES $SCRIPT $(packages_of "$1") $(scripts_of "$1")") | key_of).layer"; }
scripts_of() { case $1 in operator) echo "plimsoll-operator plimsoll-worker" ;; agent) echo "plimsoll-agent" ;; esac; }
script() { # name: what an installer makes of the wheel's entry point
  local module file=$W/$HOME_DIR/bin/$1; module=$(sed -n "s/^$1 = \"\(.*\):main\"$/\1/p" "$REPO/pyproject.toml")
  mkdir -p "$(dirname "$file")"
  printf '#!/opt/plimsoll/bin/python3\nimport sys\n\nfrom %s import main\n\nsys.exit(main())\n' "${module:?}" >"$file"; chmod 755 "$file"
}
make_app_layer() { # operator|agent: its packages out of the wheel
  local layer started wheel each; layer=$(app_layer "$1"); [ ! -f "$layer" ] || return 0
  base_layer; started=$(now); chroot_with "$W"; mkdir -p "$W/$SITE" "$I/wheel"
  wheel=$I/wheel/$SOURCES.whl
  if [ ! -f "$wheel" ]; then
    "$UV" build --quiet --wheel --no-build-isolation --python "$PYTHON" --out-dir "$I/wheel/out" "$REPO"
    mv "$I"/wheel/out/*.whl "$wheel"; rm -rf "$I/wheel/out"
  fi
  for each in $(packages_of "$1"); do "$PYTHON" -m zipfile -e "$wheel" "$W/all"; mv "$W/all/$each" "$W/$SITE/"; done
  mv "$W"/all/plimsoll-*.dist-info "$W/$SITE/"; rm -rf "$W/all"; for each in $(scripts_of "$1"); do script "$each"; done
  compile "$W" "$SITE"; only_home "$W" "$layer"
  log "layer of $1: $(since "$started") s, $(du -k "$layer" | cut -f1) KB"
}
directory_of() { case $1 in operator) echo operator ;; agent) echo nodeagent ;; esac; }
version() { sed -n 's/^version = "\(.*\)"/\1/p' "$REPO/pyproject.toml" | head -1; }
part_image() { # operator|agent name out --thin N
  local part=$1 name=$2 out=$3; shift 3
  # Labels, user, environment and entry point are the Dockerfile's. The base is the layer below: its digest is known.
  image --name "$name" --out "$out" --layer "$BASE" --layer "$(deps_layer "$part")" --layer "$(app_layer "$part")" "$@" \
    --dockerfile "$REPO/$(directory_of "$part")/Dockerfile" --build-arg "VERSION=$(version)" --build-arg "BASE=debootstrap:$DEBIAN_PYTHON" \
    --build-arg "BASE_DIGEST=sha256:$(sha256sum "$BASE" | cut -d' ' -f1)" --build-arg "SOURCE=${PLIMSOLL_SOURCE:-}" \
    --build-arg "REVISION=$(git -C "$REPO" rev-parse HEAD 2>/dev/null || true)" --build-arg "CREATED=$(git -C "$REPO" log -1 --format=%cI 2>/dev/null || true)"
}
small() { # pause|load: one static program, load on the Python layer (a shell and Python to look around with)
  local out; out=$I/$1-$(cat "$VM/images/$1.c" <(echo "$SCRIPT") | key_of).tar
  if [ ! -f "$out" ]; then
    rm -rf "$W"; mkdir -p "$W/usr/local/bin"; gcc -O2 -static -s -o "$W/usr/local/bin/$1" "$VM/images/$1.c"
    case $1 in
      pause) image --name localhost/pause:1 --out "$out" --layer "$W" --entrypoint '["/usr/local/bin/pause"]' --user 65535:65535 ;;
      load) image --name localhost/load:1 --out "$out" --layer "$BASE" --layer "$W" --command '["load"]' ;;
    esac
    rm -rf "$W"
  fi
  echo "$out"
}
baked() {
  base_layer; small pause; small load
  local part out
  for part in operator agent; do
    make_deps_layer "$part"; out=$I/$part-base-$(deps_layer "$part" | key_of).tar
    [ -f "$out" ] || image --name "localhost/$part-base:1" --out "$out" --layer "$BASE" --layer "$(deps_layer "$part")"
    echo "$out"
  done
}
image_key() { # operator|agent: all that an image is made of
  cat <(app_layer "$1") <(deps_layer "$1") "$REPO/$(directory_of "$1")/Dockerfile" | key_of
}
parts() { # thin|full
  SOURCES=$(sources_key); local part name out thin=0
  [ "$1" = full ] || thin=2
  for part in operator agent; do
    make_deps_layer "$part"; make_app_layer "$part"
    name=localhost/plimsoll/$part:$(version)-$(image_key "$part" | cut -c1-8); out=$I/$part-$1-${name##*:}.tar
    [ -f "$out" ] || part_image "$part" "$name" "$out" --thin "$thin"
    echo "$part $name $out"
  done
}
sizes() {
  SOURCES=$(sources_key); local part layer unpacked compressed
  for part in operator agent; do
    make_deps_layer "$part"; make_app_layer "$part"; unpacked=0; compressed=0
    for layer in "$BASE" "$(deps_layer "$part")" "$(app_layer "$part")"; do
      unpacked=$((unpacked + $(stat -c %s "$layer"))); compressed=$((compressed + $(gzip -6c "$layer" | wc -c)))
    done
    echo "$part: $((unpacked / 1000000)) MB unpacked, $((compressed / 1000000)) MB compressed"
  done
}
[ -x "$UV" ] || die "make-images.sh needs $UV: run 'make venv' first, or set UV"
SCRIPT=$(declare -f $LAYER_MAKERS | key_of); BASE=$I/base-$(echo "$DEBIAN_PYTHON $SCRIPT" | key_of).layer
exec 8>"$I/.lock"; flock 8
case ${1:-} in
  base) base_layer; echo "$BASE" ;;
  baked) baked ;;
  thin | full) parts "$1" ;;
  sizes) sizes ;;
  *) die "usage: make-images.sh base | baked | thin | full | sizes" ;;
esac
