#!/usr/bin/env bash
# kind/redis.sh: a real redis-server, redis-cli and redis-sentinel for tests, in $PLIMSOLL_CACHE/redis; prints their directory.
#
# Debian's packages are fetched by this machine's apt and unpacked, not installed. What was fetched once is kept. A wrapper a
# program names the unpacked libraries, so that nothing of the machine's own is replaced.
set -euo pipefail
CACHE=${PLIMSOLL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll}
R=$CACHE/redis
PACKAGES="redis-server redis-tools redis-sentinel libjemalloc2 liblzf1 libatomic1"
die() { printf 'redis.sh: %s\n' "$*" >&2; exit 1; }
fetch() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "no apt-get here; install redis-server, or set PLIMSOLL_REDIS to a directory that has it"
  mkdir -p "$CACHE"
  W=$(mktemp -d "$CACHE/.redis.XXXXXX"); trap 'rm -rf "$W"' EXIT
  mkdir "$W/debs" "$W/bin"
  # shellcheck disable=SC2086
  (cd "$W/debs" && apt-get download -qq $PACKAGES) >"$W/log" 2>&1 || { tail -3 "$W/log" >&2; die "apt-get could not download $PACKAGES (apt-get update may help)"; }
  local deb name; for deb in "$W"/debs/*.deb; do dpkg-deb -x "$deb" "$W/x"; done
  for name in redis-server redis-cli redis-sentinel; do
    [ -e "$W/x/usr/bin/$name" ] || ln -s redis-check-rdb "$W/x/usr/bin/$name"   # one program under several names
    printf '#!/bin/sh\nd=$(dirname "$0")/../x/usr\nLD_LIBRARY_PATH=$(echo "$d"/lib/*-linux-gnu) exec "$d/bin/%s" "$@"\n' "$name" >"$W/bin/$name"
    chmod +x "$W/bin/$name"
  done
  "$W/bin/redis-server" --version >/dev/null || die "the unpacked redis-server does not start"
  rm -rf "$W/debs" "$W/x/usr/share" "$R"; mv "$W" "$R"
}
[ -x "$R/bin/redis-server" ] || fetch
echo "$R/bin"
