"""The benchmark `sos` says how much slower a press is under load than when idle, in the same round."""

from loadtests.bench.cases.sos import PEER, idle_lines
from loadtests.bench.measure.rounds import OURS, Result


def result(case: str, round_: int, p99_ms: float, target: str = OURS) -> Result:
    figures = {"ack_p50_ms": p99_ms / 2, "ack_p99_ms": p99_ms}
    return Result(case=case, target=target, round=round_, figures=figures, cores={}, faults={})


IDLE, LOADED = "0 positions/s offered", "5,000 positions/s offered"
MADE = [
    *(result(IDLE, 1, 10.0), result(LOADED, 1, 15.0), result(LOADED, 1, 999.0, PEER)),
    *(result(IDLE, 2, 20.0), result(LOADED, 2, 60.0)),
    *(result(IDLE, 3, 10.0), result(LOADED, 3, 18.0)),
]


def test_rounds_are_compared_within_themselves_and_the_median_counts() -> None:
    lines, within = idle_lines(MADE, max_ratio=2.0)
    assert within
    assert lines == [
        f"press ack_p50, {LOADED}: 1.80 times idle (1.50, 1.80, 3.00)",
        f"press ack_p99, {LOADED}: 1.80 times idle (1.50, 1.80, 3.00)",
    ]


def test_a_median_beyond_the_limit_fails_and_no_limit_does_not() -> None:
    assert not idle_lines(MADE, max_ratio=1.7)[1]
    assert idle_lines(MADE)[1]


def test_without_an_idle_case_there_is_nothing_to_compare() -> None:
    assert idle_lines(MADE[1:2], max_ratio=0.1) == ([], True)
