#!/usr/bin/env bash
# kind/promtool.sh: a real prometheus and promtool for tests, in $PLIMSOLL_CACHE/prometheus; prints their directory.
#
# Debian's package is fetched by this machine's apt and unpacked, not installed. What was fetched once is kept.
set -euo pipefail
CACHE=${PLIMSOLL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll}
P=$CACHE/prometheus
die() { printf 'promtool.sh: %s\n' "$*" >&2; exit 1; }
fetch() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "no apt-get here, and Debian's package prometheus is needed"
  mkdir -p "$CACHE"
  W=$(mktemp -d "$CACHE/.prometheus.XXXXXX"); trap 'rm -rf "$W"' EXIT
  mkdir "$W/debs"
  (cd "$W/debs" && apt-get download -qq prometheus) >"$W/log" 2>&1 || { tail -3 "$W/log" >&2; die "apt-get could not download prometheus (apt-get update may help)"; }
  dpkg-deb -x "$W"/debs/prometheus_*.deb "$W/x"
  "$W/x/usr/bin/promtool" --version >/dev/null 2>&1 || die "the unpacked promtool does not start"
  # Whole or not at all; whoever fetched at the same time has the same.
  [ -x "$P/usr/bin/promtool" ] || { rm -rf "$P"; mv -T "$W/x" "$P"; }
}
[ -x "$P/usr/bin/promtool" ] || fetch
echo "$P/usr/bin"
