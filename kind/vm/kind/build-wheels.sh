#!/usr/bin/env bash
# build-wheels.sh: the locked wheels that the Dockerfiles install, downloaded with pip; prints their directory.
#
# The machine reaches no package registry: the directory becomes build/wheels of its checkout. pip asks markers about the
# Python that it runs on, so uv first narrows the locks down to the Python of the images.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
UV=${UV:-$REPO/.venv/bin/uv}
WHEELS=$KIND_STORE/wheels-$(cat "$REPO"/requirements/{operator,agent,build}.lock "${BASH_SOURCE[0]}" | key_of)
if [ ! -d "$WHEELS" ]; then
  started=$(now); w=$KIND_STORE/wheels.part; rm -rf "$w"; mkdir -p "$w/wheels"; arguments=()
  for lock in operator agent build; do
    "$UV" pip compile --quiet --no-deps --no-header --no-annotate --generate-hashes --no-emit-index-url --no-emit-find-links \
      --python-version "$PYTHON_VERSION" --python-platform x86_64-manylinux_2_28 "$REPO/requirements/$lock.lock" -o "$w/$lock.txt"
    arguments+=(-r "$w/$lock.txt")
  done
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: --python-version "$PYTHON_VERSION" \
    --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 "${arguments[@]}" -d "$w/wheels"
  mv "$w/wheels" "$WHEELS"; rm -rf "$w"
  log "wheels: $(since "$started") s, $(du -sm "$WHEELS" | cut -f1) MB"
fi
echo "$WHEELS"
