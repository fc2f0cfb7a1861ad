"""Signed links: good for long enough, and known again by whoever looks for the message they were in."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from alerts.notifiers.links import SPREAD_S, VALID_MS, AnswerLinks, valid_until_ms
from alerts.ports import DeliveryJob
from alerts.replies.answer import read_token
from tests.alerts.jobs import NOW_MS, contact, job

LINKS = AnswerLinks("k" * 32, "https://wayguard.example/")
DAY_S = 86_400


@given(raised_ms=st.integers(NOW_MS, NOW_MS + 10**11), attempt_id=st.uuids())
def test_a_link_is_good_for_a_week_and_no_longer_than_its_own_second_needs(
    raised_ms: int, attempt_id: UUID
) -> None:
    until_ms = valid_until_ms(raised_ms, attempt_id)
    assert raised_ms + VALID_MS <= until_ms < raised_ms + VALID_MS + (SPREAD_S + 1) * 1000


def raised(what: DeliveryJob, by_s: int) -> DeliveryJob:
    return replace(what, alert=replace(what.alert, raised_ms=what.alert.raised_ms + by_s * 1000))


@pytest.mark.parametrize("by_s", [0, 1, -1, 3_600, -3_600, 11 * DAY_S, 13 * DAY_S, 40 * DAY_S])
def test_a_text_is_known_by_its_attempt_whenever_the_alert_counts_as_raised(by_s: int) -> None:
    what = job()
    text = f"Ann pressed SOS {LINKS.of(raised(what, by_s))} Reply 1"
    assert LINKS.is_in(what, text)


def test_a_link_of_another_attempt_contact_alert_or_key_is_not_taken_for_it() -> None:
    what = job()
    others = [
        job(attempt_id=UUID(int=99)),
        job(to=contact(contact_id=str(UUID(int=77)))),
        replace(what, alert=replace(what.alert, alert_id=UUID(int=98))),
    ]
    assert not any(LINKS.is_in(what, LINKS.of(other)) for other in others)
    assert not LINKS.is_in(what, AnswerLinks("other", "https://wayguard.example").of(what))
    assert not LINKS.is_in(what, LINKS.of(what)[:-1]) and not LINKS.is_in(what, "no link at all")


def test_whoever_holds_it_may_answer_for_that_contact() -> None:
    what = job()
    link = LINKS.of(what)
    assert link.startswith("https://wayguard.example/a#")
    answer = read_token("k" * 32, link.partition("#")[2], what.alert.raised_ms + VALID_MS - 1)
    assert answer is not None
    assert (answer.alert_id, answer.contact_id) == (what.alert.alert_id, what.contact.contact_id)
