#!/usr/bin/env bash
# kind/foreign-crds.sh: the CRDs of prometheus-operator, cert-manager, KEDA and NodeResourceTopology for tests, in $PLIMSOLL_CACHE/foreign-crds-*; prints the directory.
#
# A Go module's zip carries the repository's files, and these have their CRDs as plain YAML. Pinned by version and by the
# sum that Go computes over the module; what was fetched once is kept.
set -euo pipefail
CACHE=${PLIMSOLL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plimsoll}
# module sum directory files
MODULES="github.com/prometheus-operator/prometheus-operator@v0.85.0 h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s= example/prometheus-operator-crd monitoring.coreos.com_servicemonitors monitoring.coreos.com_podmonitors monitoring.coreos.com_prometheusrules
github.com/cert-manager/cert-manager@v1.21.2 h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68= deploy/crds cert-manager.io_certificates cert-manager.io_issuers
github.com/kedacore/keda/v2@v2.21.0 h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps= config/crd/bases keda.sh_scaledobjects
github.com/k8stopologyawareschedwg/noderesourcetopology-api@v0.1.2 h1:uAwqOtyrFYggq3pVf3hs1XKkBxrQ8dkgjWz3LCLJsiY= manifests crd"
C=$CACHE/foreign-crds-$(echo "$MODULES" | sha256sum | cut -c1-16)
die() { printf 'foreign-crds.sh: %s\n' "$*" >&2; exit 1; }
of() { sed -n "s/^[[:space:]]*\"$1\": \"\(.*\)\",\{0,1\}$/\1/p"; } # one field of what `go mod download -json` says
fetch() {
  command -v go >/dev/null || die "Go is not installed, and the CRDs of others come out of Go modules"
  mkdir -p "$CACHE"
  W=$(mktemp -d "$CACHE/.foreign-crds.XXXXXX"); trap 'rm -rf "$W"' EXIT
  mkdir "$W/crds"
  local module sum directory files told each
  while read -r module sum directory files; do
    told=$(cd "$W" && GOWORK=off GOFLAGS= go mod download -json "$module" 2>"$W/log") || { printf '%s\n' "$told" | of Error >&2; die "go could not download $module"; }
    [ "$(printf '%s\n' "$told" | of Sum)" = "$sum" ] || die "$module is not what was pinned: $(printf '%s\n' "$told" | of Sum), wanted $sum"
    for each in $files; do install -m 644 "$(printf '%s\n' "$told" | of Dir)/$directory/$each.yaml" "$W/crds/"; done
  done <<<"$MODULES"
  [ -d "$C" ] || mv -T "$W/crds" "$C"
}
[ -d "$C" ] || fetch
echo "$C"
