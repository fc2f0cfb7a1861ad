"""Texts and calls by the real client, against Twilio's stand-in: what is said, and what an answer means."""

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from alerts.attempt import (
    Accepted,
    Channel,
    Permanent,
    Purpose,
    Retryable,
    Status,
    StatusReport,
    Unsure,
)
from alerts.ports import Notifier
from realtime.outside.twilio import TwilioServer
from realtime.outside.twilio_callbacks import Behaviour
from realtime.outside.twilio_words import MAGIC, heard
from realtime.outside.web import SimulatedFault, Trouble
from tests.alerts.jobs import alert, contact, job
from tests.notifiers.twilios import HOOKS, LINKS, PATIENT_S, call, sms

Make = Callable[..., Notifier]
BOTH = pytest.mark.parametrize(
    ("make", "channel"), [(sms, Channel.SMS), (call, Channel.CALL)], ids=["sms", "call"]
)


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioServer]:
    async with TwilioServer() as server:
        server.callbacks.behaviour = Behaviour(calls_back=False)
        yield server


async def test_a_text_has_the_link_and_says_how_to_answer(twilio: TwilioServer) -> None:
    notifier, what = sms(twilio), job()
    told = await notifier.send(what, PATIENT_S)
    await notifier.close()
    [sent] = twilio.messages
    assert told == Accepted(sent.sid, "queued")
    assert sent.to == "+4915112345678" and sent.sender == twilio.number
    assert sent.text.endswith(LINKS.of(what)) and "Reply 1" in sent.text


async def test_a_cry_for_help_is_valid_for_minutes_and_its_end_for_hours(twilio: TwilioServer) -> None:
    notifier = sms(twilio)
    await notifier.send(job(), PATIENT_S)
    await notifier.send(job(purpose=Purpose.ALL_CLEAR), PATIENT_S)
    await notifier.close()
    assert [sent.valid_s for sent in twilio.messages] == [600, 14_400]


@BOTH
async def test_callbacks_name_the_attempt_the_alert_and_the_contact(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    notifier, what = make(twilio), job(channel=channel)
    await notifier.send(what, PATIENT_S)
    await notifier.close()
    [sent] = [*twilio.messages, *twilio.phone_calls]
    wanted = f"{HOOKS}/hooks/twilio/status/{what.attempt.attempt_id}"
    assert sent.callback == f"{wanted}?alert={what.alert.alert_id}&contact={what.contact.contact_id}"


@BOTH
async def test_where_nobody_could_call_back_no_callback_is_asked_for(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    notifier = make(twilio, hooks_url="")
    assert isinstance(await notifier.send(job(channel=channel), PATIENT_S), Accepted)
    await notifier.close()
    [sent] = [*twilio.messages, *twilio.phone_calls]
    assert sent.callback == "" and "Gather" not in sent.text


async def test_a_code_is_sent_without_a_link_and_without_callbacks(twilio: TwilioServer) -> None:
    notifier = sms(twilio)
    await notifier.send(job(of=alert(message="482913"), purpose=Purpose.CODE), PATIENT_S)
    await notifier.close()
    [sent] = twilio.messages
    assert "482913" in sent.text and "http" not in sent.text and sent.callback == ""


async def test_a_messaging_service_sends_in_the_place_of_a_number(twilio: TwilioServer) -> None:
    notifier = sms(twilio, sender="MG" + "a" * 32)
    assert isinstance(await notifier.send(job(), PATIENT_S), Accepted)
    await notifier.close()
    assert twilio.messages[0].sender == "MG" + "a" * 32


async def test_a_call_is_read_three_times_and_asks_for_a_key(twilio: TwilioServer) -> None:
    notifier, what = call(twilio), job(channel=Channel.CALL)
    await notifier.send(what, PATIENT_S)
    await notifier.close()
    said = heard(twilio.phone_calls[0].text)
    assert len(said.words) == 3 and len(set(said.words)) == 1
    assert "press 1" in said.words[0] and "Ana Lopez" in said.words[0]
    assert said.action is not None
    assert said.action.startswith(f"{HOOKS}/hooks/twilio/voice/{what.attempt.attempt_id}?")


async def test_a_call_speaks_the_language_of_the_contact(twilio: TwilioServer) -> None:
    notifier = call(twilio)
    await notifier.send(job(to=contact(language="de"), channel=Channel.CALL), PATIENT_S)
    await notifier.close()
    assert 'language="de-DE"' in twilio.phone_calls[0].text


async def test_names_cannot_become_part_of_the_twiml(twilio: TwilioServer) -> None:
    notifier = call(twilio)
    bad = "</Say><Dial>+19005550100</Dial><Say>"
    await notifier.send(job(driver_name=bad, channel=Channel.CALL), PATIENT_S)
    await notifier.close()
    assert "<Dial>" not in twilio.phone_calls[0].text


@BOTH
async def test_a_call_that_asks_nothing_takes_no_key(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    notifier = make(twilio)
    await notifier.send(job(channel=channel, purpose=Purpose.ALL_CLEAR), PATIENT_S)
    await notifier.close()
    [sent] = [*twilio.messages, *twilio.phone_calls]
    assert "Gather" not in sent.text and "eply 1" not in sent.text and "ress 1" not in sent.text


# --- what an answer means


@BOTH
@pytest.mark.parametrize(
    ("fault", "meaning"),
    [
        (SimulatedFault(Trouble.STATUS, 500), Retryable("http_500", provider_down=True)),
        (SimulatedFault(Trouble.STATUS, 503, "7"), Retryable("http_503", 7.0, provider_down=True)),
        (SimulatedFault(Trouble.STATUS, 429, "12"), Retryable("http_429", 12.0)),
        (SimulatedFault(Trouble.STATUS, 429), Retryable("http_429")),
        (SimulatedFault(Trouble.STATUS, 401), Retryable("auth", provider_down=True)),
        (SimulatedFault(Trouble.STATUS, 502), Unsure("http_502")),
        (SimulatedFault(Trouble.STATUS, 504), Unsure("http_504")),
        (SimulatedFault(Trouble.DROP), Unsure("connection_lost")),
        (SimulatedFault(Trouble.LOSE_REPLY), Unsure("connection_lost")),
        (SimulatedFault(Trouble.GARBAGE), Unsure("garbage")),
    ],
    ids=lambda value: f"{value.trouble}-{value.status}" if isinstance(value, SimulatedFault) else "",
)
async def test_a_fault_of_the_provider_is_told_for_what_it_is(
    twilio: TwilioServer, make: Make, channel: Channel, fault: SimulatedFault, meaning: Any
) -> None:
    twilio.faults.append(fault)
    notifier = make(twilio)
    assert await notifier.send(job(channel=channel), PATIENT_S) == meaning
    assert isinstance(await notifier.send(job(channel=channel), PATIENT_S), Accepted)
    await notifier.close()


@BOTH
async def test_a_provider_that_hangs_leaves_it_open_whether_it_was_sent(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    twilio.fault = SimulatedFault(Trouble.HANG)
    notifier = make(twilio)
    assert await notifier.send(job(channel=channel), 0.3) == Unsure("timeout")
    await notifier.close()


@BOTH
async def test_a_refused_connection_is_surely_not_sent(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        notifier = make(twilio, base_url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        told = await notifier.send(job(channel=channel), PATIENT_S)
    await notifier.close()
    assert told == Retryable("no_connection", provider_down=True)


@BOTH
async def test_wrong_credentials_speak_against_the_provider(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    notifier = make(twilio, token="wrong")
    assert await notifier.send(job(channel=channel), PATIENT_S) == Retryable("auth", provider_down=True)
    await notifier.close()


@BOTH
@pytest.mark.parametrize("number", MAGIC)
async def test_a_number_that_cannot_be_reached_is_given_up(
    twilio: TwilioServer, make: Make, channel: Channel, number: str
) -> None:
    notifier = make(twilio)
    told = await notifier.send(job(to=contact(phone=number), channel=channel), PATIENT_S)
    await notifier.close()
    assert isinstance(told, Permanent) and not told.reason.startswith("twilio_")
    assert not twilio.messages and not twilio.phone_calls


@BOTH
async def test_a_contact_without_a_number_cannot_be_told_so(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    notifier = make(twilio)
    assert await notifier.send(job(to=contact(phone=None), channel=channel), PATIENT_S) == Permanent(
        "no_address"
    )
    await notifier.close()
    assert not twilio.calls


async def test_stop_is_a_word_of_the_carriers_for_texts_alone(twilio: TwilioServer) -> None:
    phone = contact().phone
    assert phone is not None
    twilio.opted_out.add(phone)
    text, voice = sms(twilio), call(twilio)
    assert await text.send(job(), PATIENT_S) == Permanent("opted_out")
    assert isinstance(await voice.send(job(channel=Channel.CALL), PATIENT_S), Accepted)
    await text.close()
    await voice.close()


# --- a reply that was lost


@BOTH
async def test_what_was_sent_although_the_reply_was_lost_is_found(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    twilio.callbacks.behaviour = Behaviour()  # its callbacks go nowhere; that they were made is on record
    twilio.faults.append(SimulatedFault(Trouble.LOSE_REPLY))
    notifier, what = make(twilio, hooks_url="http://127.0.0.1:9"), job(channel=channel)
    assert isinstance(await notifier.send(what, PATIENT_S), Unsure)
    await twilio.callbacks.settled()
    [sent] = [*twilio.messages, *twilio.phone_calls]
    found = await notifier.look_up(what, PATIENT_S)
    await notifier.close()
    assert isinstance(found, StatusReport) and found.provider_id == sent.sid
    assert found.status is (Status.DELIVERED if channel is Channel.SMS else Status.SENT)


@BOTH
async def test_what_was_never_sent_is_surely_not_there(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    notifier = make(twilio)
    assert await notifier.look_up(job(channel=channel), PATIENT_S) is None
    await notifier.close()


async def test_another_text_of_the_same_alert_to_the_same_person_is_not_taken_for_this_one(
    twilio: TwilioServer,
) -> None:
    notifier = sms(twilio)
    await notifier.send(job(), PATIENT_S)
    other = job(attempt_id=UUID(int=99), number=2)
    assert await notifier.look_up(other, PATIENT_S) is None
    await notifier.close()


async def test_a_text_by_a_process_that_took_the_same_press_a_moment_later_is_found(
    twilio: TwilioServer,
) -> None:
    notifier, theirs = sms(twilio), job()
    await notifier.send(theirs, PATIENT_S)
    ours = replace(theirs, alert=replace(theirs.alert, raised_ms=theirs.alert.raised_ms + 1_400))
    found = await notifier.look_up(ours, PATIENT_S)
    await notifier.close()
    assert isinstance(found, StatusReport) and found.provider_id == twilio.messages[0].sid


async def test_another_call_to_the_same_person_leaves_it_open(twilio: TwilioServer) -> None:
    notifier, what = call(twilio), job(channel=Channel.CALL)
    await notifier.send(what, PATIENT_S)
    other = job(channel=Channel.CALL, attempt_id=UUID(int=99), number=2)
    assert await notifier.look_up(other, PATIENT_S) == Unsure("not_told")
    await notifier.close()


async def test_a_call_of_before_this_attempt_is_not_asked_about(twilio: TwilioServer) -> None:
    notifier, what = call(twilio), job(channel=Channel.CALL)
    await notifier.send(what, PATIENT_S)
    later = replace(what.attempt, due_ms=twilio.phone_calls[0].made_ms + 3_600_000)
    assert await notifier.look_up(replace(what, attempt=later), PATIENT_S) is None
    await notifier.close()


async def test_a_call_that_another_process_made_before_this_attempt_was_due_here_is_found(
    twilio: TwilioServer,
) -> None:
    twilio.callbacks.behaviour = Behaviour()
    notifier, what = call(twilio, hooks_url="http://127.0.0.1:9"), job(channel=Channel.CALL)
    await notifier.send(what, PATIENT_S)
    await twilio.callbacks.settled()
    [made] = twilio.phone_calls
    later = replace(what.attempt, due_ms=made.made_ms + 3_600_000)
    found = await notifier.look_up(replace(what, attempt=later, elsewhere=True), PATIENT_S)
    await notifier.close()
    assert isinstance(found, StatusReport) and found.provider_id == made.sid


@BOTH
async def test_a_look_up_at_a_provider_that_is_away_tells_nothing(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    twilio.fault = SimulatedFault(Trouble.STATUS, 500)
    notifier = make(twilio)
    assert isinstance(await notifier.look_up(job(channel=channel), PATIENT_S), Unsure)
    await notifier.close()


async def test_a_text_that_failed_is_found_as_failed_with_the_code(twilio: TwilioServer) -> None:
    twilio.callbacks.behaviour = Behaviour(message="undelivered")
    notifier, what = sms(twilio, hooks_url="http://127.0.0.1:9"), job()
    await notifier.send(what, PATIENT_S)
    await twilio.callbacks.settled()
    found = await notifier.look_up(what, PATIENT_S)
    await notifier.close()
    assert isinstance(found, StatusReport)
    assert (found.status, found.provider_status, found.reason) == (
        Status.FAILED,
        "undelivered_30003",
        "undelivered",
    )


# --- one number, two forms

FORMS = pytest.mark.parametrize(
    ("kept", "first", "other"),
    [
        ("+5215512345678", "+525512345678", "+5215512345678"),
        ("+525512345678", "+525512345678", "+5215512345678"),
        ("+541112345678", "+541112345678", "+5491112345678"),
        ("+5491112345678", "+5491112345678", "+541112345678"),
        ("+551187654321", "+5511987654321", "+551187654321"),
        ("+22997123456", "+2290197123456", "+22997123456"),
    ],
)


@FORMS
@BOTH
async def test_a_number_is_dialled_as_its_network_has_it_and_else_in_its_other_form(
    twilio: TwilioServer, make: Make, channel: Channel, kept: str, first: str, other: str
) -> None:
    notifier, what = make(twilio), job(to=contact(phone=kept), channel=channel)
    assert isinstance(await notifier.send(what, PATIENT_S), Accepted)
    twilio.unknown = {first}
    assert isinstance(await notifier.send(what, PATIENT_S), Accepted)
    twilio.unknown = {first, other}
    assert await notifier.send(what, PATIENT_S) == Permanent("bad_number")
    await notifier.close()
    assert [sent.to for sent in (*twilio.messages, *twilio.phone_calls)] == [first, other]


@BOTH
async def test_another_refusal_is_not_made_up_for_by_another_form(
    twilio: TwilioServer, make: Make, channel: Channel
) -> None:
    twilio.faults.append(SimulatedFault(Trouble.STATUS, 500))
    notifier = make(twilio)
    told = await notifier.send(job(to=contact(phone="+525512345678"), channel=channel), PATIENT_S)
    await notifier.close()
    assert isinstance(told, Retryable)
    assert sum(request.method == "POST" for request in twilio.calls) == 1


@FORMS
@BOTH
async def test_a_look_up_finds_what_the_network_shows_in_another_form(
    twilio: TwilioServer, make: Make, channel: Channel, kept: str, first: str, other: str
) -> None:
    twilio.shown_as = {first: other}
    twilio.callbacks.behaviour = Behaviour(message="sent")
    notifier, what = make(twilio), job(to=contact(phone=kept), channel=channel)
    assert isinstance(await notifier.send(what, PATIENT_S), Accepted)
    for sent in twilio.phone_calls:
        sent.asked.append(sent.callback)
    found = await notifier.look_up(what, PATIENT_S)
    assert isinstance(found, StatusReport)
    other_job = job(to=contact(phone="+5215500000000"), channel=channel)
    assert await notifier.look_up(other_job, PATIENT_S) is None
    await notifier.close()


# --- a sender that takes no reply


async def test_a_name_sends_texts_and_makes_no_call(twilio: TwilioServer) -> None:
    twilio.names = {"WAYGUARD"}
    texts, calls = sms(twilio, sender="WAYGUARD"), call(twilio, sender="WAYGUARD")
    assert isinstance(await texts.send(job(), PATIENT_S), Accepted)
    assert isinstance(await calls.send(job(channel=Channel.CALL), PATIENT_S), Permanent)
    await texts.close()
    await calls.close()
