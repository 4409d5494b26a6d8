"""The table of faults: for each the test that makes it, how often it was made, survived, and what was lost.

In: the tests below; each counts and says so through the fixture `counted` (tests/conftest.py). Out:
bench/results/faults.json. A fault whose test fails, is skipped or says nothing has no figures and says why;
then the exit code is 1. The fuzzer's inputs are counted here as well (`--fuzz-inputs`). Real `redis-server`
(`make redis`), gRPC and TLS on loopback, processes that are killed; what is not real says each test.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from fuzz_coord import fuzz
from report import Row, bench_options, write_results

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "make bench-faults"
COUNTED = {
    "contract/test_store_faults.py": (
        "test_killed",
        "test_restarted_empty",
        "test_sentinel_fails_over",
        "test_two_seconds_slow",
        "test_slow",
        "test_full",
        "test_read_only",
        "test_records_that_cannot_be_read",
        "test_wrong_password",
        "test_a_partition_between_half_of_the_writers_and_redis",
    ),
    "contract/test_store_redis_killed.py": (
        "test_redis_killed_at_any_command_loses_nothing_and_doubles_nothing",
    ),
    "unit/operator/coordinate/test_desk.py": (
        "test_an_operator_that_is_killed_during_a_shrink_leaves_the_limit_and_its_successor_asks_again",
        "test_an_operator_that_is_killed_during_a_lease_leaves_the_room_and_its_successor_takes_it_back",
        "test_a_successor_that_hears_a_lease_request_again_raises_nothing_more_and_lets_it_end",
    ),
    "unit/operator/coordinate/test_lost_answers.py": (
        "test_a_raise_whose_answers_were_lost_ends_as_every_lease",
        "test_a_kill_after_a_shrink_whose_answers_were_lost_takes_it_back",
    ),
    "contract/test_limits_killed.py": (
        "test_an_operator_killed_at_any_step_leaves_the_limit_that_an_undisturbed_one_does",
    ),
    "contract/test_merge_killed.py": (
        "test_an_operator_killed_at_any_step_of_a_merge_leaves_what_an_undisturbed_one_does",
    ),
    "contract/test_relay.py": (
        "test_leaders_that_are_killed_under_load_lose_nothing_and_what_is_heard_again_was_unacknowledged",
        "test_a_leader_that_loses_the_lease_under_load_loses_and_repeats_nothing",
        "test_relays_that_die_under_load_lose_and_repeat_nothing",
    ),
    "contract/test_clock_skew.py": (
        "test_samples_and_forecasts_are_all_taken_and_are_as_old_as_when_they_were_heard",
    ),
    "contract/test_bad_wire.py": ("test_each_message_is_heard_once_and_in_order_over_a_bad_wire",),
    "contract/test_bad_bytes.py": (
        "test_messages_that_are_cut_short_are_said_again",
        "test_messages_that_are_too_large_are_said_again",
        "test_what_is_too_large_each_time_is_given_up_and_everything_else_is_heard_once",
    ),
    "contract/test_coordination.py": (
        "test_an_agent_that_speaks_for_another_node_is_refused",
        "test_a_token_is_reviewed_once_a_minute",
    ),
    "unit/operator/coordinate/test_doors.py": (
        "test_who_has_only_the_certificate_keeps_no_other_address_out",
    ),
    "unit/operator/coordinate/test_views.py": ("test_absurd_samples_say_nothing",),
    "unit/operator/coordinate/test_sharing.py": (
        "test_what_is_truncated_oversized_or_poisoned_is_refused_and_counted",
        "test_of_five_a_liar_moves_the_candidate_no_further_than_honest_nodes_do",
    ),
    "contract/test_certificates_under_load.py": (
        "test_pairs_that_end_within_seconds_are_renewed_under_load_and_nothing_is_lost_or_heard_twice",
        "test_an_agent_whose_certificate_has_ended_is_refused_keeps_what_it_says_and_loses_nothing",
        "test_an_operator_whose_certificate_has_ended_is_not_spoken_to_until_it_is_renewed",
    ),
    "contract/test_storm.py": (
        "test_a_thousand_a_second_are_sent_away_before_any_review_and_all_in_within_a_minute",
    ),
    "unit/core/coordinate/test_admission.py": (
        "test_five_thousand_agents_that_obey_are_all_in_within_a_minute",
    ),
}
TESTS = tuple(f"tests/{path}::{name}" for path, names in COUNTED.items() for name in names)


@dataclass(frozen=True)
class Fault:
    """One line of the table."""

    fault: str
    test: str
    injected: int
    survived: int
    lost: int
    of: int
    what: str


def counted(report: Path) -> Iterator[Fault]:
    """What the tests of a junit report have counted; those that failed count nothing."""
    for case in ET.parse(report).getroot().iter("testcase"):
        if any(case.find(name) is not None for name in ("failure", "error", "skipped")):
            continue
        name = case.get("name", "").partition("[")[0]
        test = f"{case.get('classname', '').replace('.', '/')}.py::{name}"
        for each in case.iter("property"):
            if each.get("name") == "fault":
                yield Fault(test=test, **json.loads(each.get("value", "")))


def joined(faults: Sequence[Fault]) -> list[Fault]:
    """Counts of one fault together: a test that ran with several settings is one line."""
    found: dict[tuple[str, str], Fault] = {}
    for each in faults:
        known = found.get((each.fault, each.test))
        sums = ("injected", "survived", "lost", "of")
        before = {name: 0 if known is None else getattr(known, name) for name in sums}
        both = {name: before[name] + getattr(each, name) for name in sums}
        found[each.fault, each.test] = Fault(each.fault, each.test, what=each.what, **both)
    return list(found.values())


def silent(tests: Sequence[str], faults: Sequence[Fault]) -> list[str]:
    """Tests of the list that have counted nothing."""
    said = {each.test for each in faults}
    return [test for test in tests if not any(each.startswith(test) for each in said)]


def rows(faults: Sequence[Fault], without: Sequence[str]) -> Iterator[Row]:
    """Three figures a fault; what could not be counted says so."""
    for each in faults:
        name = "fault." + "_".join("".join(c if c.isalnum() else " " for c in each.fault.lower()).split())
        yield Row(f"{name}.injected", float(each.injected), "faults", each.injected, COMMAND)
        yield Row(f"{name}.survived", float(each.survived), "faults", each.injected, COMMAND)
        yield Row(f"{name}.lost", float(each.lost), each.what, each.of, COMMAND)
    for test in without:
        why = "the test failed, was skipped, or counted nothing"
        yield Row(f"fault of {test}", None, "faults", 0, COMMAND, why=why)


def tested(tests: Sequence[str]) -> list[Fault]:
    """Run the tests, one after the other; what each has counted."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
        command += ["-o", "junit_family=xunit1", f"--junitxml={report}", *tests]
        subprocess.run(command, cwd=ROOT, check=False)
        return joined(list(counted(report)))


def fuzzed(inputs: int, seed: int) -> Fault:
    """Inputs to the wire format and what stands behind it; the first that raises ends the run."""
    survived = asyncio.run(fuzz(inputs, seed)).total()
    test = "bench/fuzz_coord.py"
    return Fault("any bytes (fuzzer)", test, inputs, survived, inputs - survived, inputs, "inputs")


def beside(faults: Sequence[Fault]) -> Mapping[str, object]:
    """The table, as the docs draw it."""
    return {"faults": [asdict(each) for each in faults]}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fuzz-inputs", type=int, default=1_000_000, help="0: none (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7)
    options = bench_options(parser)
    began, faults = time.monotonic(), tested(TESTS)
    without = silent(TESTS, faults)
    if options.fuzz_inputs:
        faults.append(fuzzed(options.fuzz_inputs, options.seed))
    for each in faults:
        counts = f"injected {each.injected}, survived {each.survived}, lost {each.lost} of {each.of}"
        print(f"{each.fault:64} {counts} {each.what}")
    for each in without:
        print(f"counted nothing: {each}", file=sys.stderr)
    took = time.monotonic() - began
    print(write_results("faults", list(rows(faults, without)), options.seed, took, beside(faults)))
    return 1 if without else 0


if __name__ == "__main__":
    sys.exit(main())
