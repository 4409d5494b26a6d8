#!/usr/bin/env bash
# kind/e2e.sh core|all [pytest's arguments]: the end-to-end tests, on the cluster of kind/up.sh; `make e2e` and `make e2e-all`.
#
# First what can run side by side, WORKERS (3) at a time, then the tests that take away what every test needs, one by one.
# A cluster that was up stays up, one that was not is taken down, unless PLIMSOLL_KEEP_CLUSTER is set. Times are at the end.
# With PLIMSOLL_E2E_AGAIN set (CI), what failed is run once more, one test at a time: a machine whose neighbours took its
# processor is told apart from a defect, and both times are in the log.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/provider.sh"
REPO=$(cd "$KIND_DIR/.." && pwd)
CORE="environment install in_place oom refusals disruptions upgrade"
case ${1:-} in
  core) tests=(); for name in $CORE; do tests+=("$REPO/tests/e2e/test_$name.py"); done ;;
  all) tests=("$REPO/tests/e2e") ;;
  *) die "usage: e2e.sh core | all [pytest's arguments]" ;;
esac
shift
times=() failed=0
stage() { # name command...
  local began=$SECONDS name=$1; shift
  "$@" || failed=$?
  times+=("$name	$((SECONDS - began))")
}
tests() { # name arguments...
  local name=$1; shift
  stage "$name" env PLIMSOLL_KEEP_CLUSTER=1 "$REPO/.venv/bin/python" -m pytest --durations=8 "${tests[@]}" "$@"
}
took_down=
if [ -z "${PLIMSOLL_KEEP_CLUSTER:-}" ] && [ ! -f "$RUN/cluster.json" ]; then took_down=yes; trap '"$KIND_DIR/down.sh"' EXIT; fi
stage "cluster up" "$KIND_DIR/up.sh"
[ "$failed" = 0 ] || die "kind/up.sh failed: no test has run"
tests "release, and tests side by side" -m "not disruptive" -n "${WORKERS:-3}" --dist worksteal "$@"
tests "tests that run alone" -m disruptive "$@"
if [ "$failed" != 0 ] && [ -n "${PLIMSOLL_E2E_AGAIN:-}" ]; then
  printf '\nNOT ALL PASSED: what failed, and only that, is run once more, one test at a time\n'
  failed=0; tests "what failed, once more" --last-failed --last-failed-no-failures none "$@"
fi
times+=("everything	$SECONDS")
mkdir -p "$REPO/build/e2e"; printf '%s\n' "${times[@]}" >"$REPO/build/e2e/times"   # for bench/e2e.py
printf '\nend-to-end tests, %s%s:\n' "$(provider)" "${took_down:+; the cluster is taken down now}"
awk -F'\t' '{ printf "%-44s %5s s\n", $1, $2 }' "$REPO/build/e2e/times"
exit "$failed"
