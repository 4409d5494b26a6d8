#!/usr/bin/env bash
# kind/e2e.sh core|all|kind [pytest's arguments]: the end-to-end tests, on the cluster of kind/up.sh; `make e2e`, `e2e-all`, `e2e-kind`.
#
# First what can run side by side, WORKERS (3) at a time, then the tests that take away what every test needs, one by one.
# A cluster that was up stays up, one that was not is taken down, unless PLIMSOLL_KEEP_CLUSTER is set. Times are at the end.
#
# With PLIMSOLL_E2E_AGAIN set (CI), a few tests that ran out of time, and nothing else, run once more: a machine whose
# neighbours took its processor can starve a wait. A limit that is waited for and never comes is such a wait too; what was
# asserted at once (a kill, a restart) is never asked twice, nor is a pass that did not run to its end. Tests that needed it
# are named last.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/provider.sh"
REPO=$(cd "$KIND_DIR/.." && pwd); cd "$REPO"       # tests' ids are relative to it
CORE="environment install in_place oom refusals disruptions upgrade"
# What is shown where everything is emulated, the API server too: the cluster, the release, refusals, a limit that rises.
KIND="environment.py install.py refusals.py in_place.py::test_usage_rises_and_the_limit_rises_before_the_kill"
MOST_AGAIN=3
tests=()
case ${1:-} in
  core) for name in $CORE; do tests+=("$REPO/tests/e2e/test_$name.py"); done ;;
  all) tests=("$REPO/tests/e2e") ;;
  kind) for name in $KIND; do tests+=("$REPO/tests/e2e/test_$name"); done ;;
  *) die "usage: e2e.sh core | all | kind [pytest's arguments]" ;;
esac
chosen=$1; shift
arguments=("$@")
export PLIMSOLL_E2E_FAILED=$REPO/build/e2e/failed    # tests/e2e/conftest.py: "late" or "wrong", a tab, the test's id
mkdir -p "$REPO/build/e2e"; rm -f "$REPO/build/e2e/times"
failed=0 again=() empty=yes                          # empty: no pass has had a test yet
stage() { # name command...
  local began=$SECONDS name=$1 status=0; shift
  "$@" || status=$?
  printf '%s\t%s\n' "$name" $((SECONDS - began)) >>"$REPO/build/e2e/times"   # for bench/e2e.py
  return "$status"
}
pytest_() { # name arguments...
  local name=$1; shift; rm -f "$PLIMSOLL_E2E_FAILED"
  stage "$name" env PLIMSOLL_KEEP_CLUSTER=1 "$REPO/.venv/bin/python" -m pytest --durations=8 "$@"
}
pass() { # name arguments...
  local status=0
  pytest_ "$@" "${tests[@]}" ${arguments[@]+"${arguments[@]}"} || status=$?
  [ "$status" = 5 ] || empty=
  case $status in
    0) ;;
    5) [ ${#arguments[@]} -gt 0 ] || failed=5 ;;   # there may be none in this pass where somebody chose some
    1) if [ -z "${PLIMSOLL_E2E_AGAIN:-}" ] || [ ! -s "$PLIMSOLL_E2E_FAILED" ] || grep -qv '^late	' "$PLIMSOLL_E2E_FAILED"; then failed=1
       else while read -r _ id; do again+=("$id"); done <"$PLIMSOLL_E2E_FAILED"; fi ;;
    *) failed=$status ;;
  esac
}
took_down=
if [ -z "${PLIMSOLL_KEEP_CLUSTER:-}" ] && [ ! -f "$RUN/cluster.json" ]; then took_down=yes; trap '"$KIND_DIR/down.sh"' EXIT; fi
stage "cluster up" "$KIND_DIR/up.sh" || die "kind/up.sh failed: no test has run"
pass "release, and tests side by side" -m "not disruptive" -n "${WORKERS:-3}" --dist worksteal
[ "$chosen" = kind ] || pass "tests that run alone" -m disruptive
if [ -n "$empty" ]; then
  failed=5; printf '\nNO TEST HAS RUN: nothing of %s is chosen by: %s\n' "$chosen" "${arguments[*]:-no arguments}"
fi
if [ ${#again[@]} -gt $MOST_AGAIN ]; then
  failed=1; printf '\n%s tests ran out of time: too many to be a passing shortage\n' ${#again[@]}
elif [ "$failed" = 0 ] && [ ${#again[@]} -gt 0 ]; then
  printf '\nNOT ALL PASSED: what ran out of time is run once more, one test at a time\n'
  pytest_ "what ran out of time, once more" "${again[@]}" || failed=$?
fi
printf 'everything\t%s\n' "$SECONDS" >>"$REPO/build/e2e/times"
printf '\nend-to-end tests, %s%s:\n' "$(provider)" "${took_down:+; the cluster is taken down now}"
awk -F'\t' '{ printf "%-44s %5s s\n", $1, $2 }' "$REPO/build/e2e/times"
if [ -f "$RUN/times" ]; then echo "of it, for the cluster:"; awk -F'\t' '{ printf "  %-42s %7s s\n", $1, $2 }' "$RUN/times"; fi
[ ${#again[@]} -eq 0 ] || printf 'ran out of time at first: %s\n' "${again[@]}"
exit "$failed"
