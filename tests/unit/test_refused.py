"""The body of an error, as every edge sends it."""

import pytest

from realtime.protocol import Code, Refused


@pytest.mark.parametrize(
    ("wait_s", "sent_s"), [(0.0001, 0.001), (0.0214, 0.022), (0.25, 0.25), (2, 2.0), (0, 0.0)]
)
def test_a_wait_is_rounded_up_so_that_a_repeat_after_it_is_not_too_early(
    wait_s: float, sent_s: float
) -> None:
    error = Refused(Code.RATE_LIMITED, "too many", retry_after_s=wait_s).as_answer()["error"]
    assert error["retry_after_s"] == sent_s


def test_without_a_wait_none_is_sent() -> None:
    assert "retry_after_s" not in Refused(Code.INVALID, "no").as_answer()["error"]
