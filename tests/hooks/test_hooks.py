"""What Twilio calls, on a whole worker: states move attempts, answers acknowledge, and nothing else does."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest
from twilio.request_validator import RequestValidator

from alerts.alert import State
from alerts.attempt import Channel, Status
from realtime.metrics import instruments
from realtime.outside.twilio_callbacks import Behaviour
from realtime.outside.twilio_words import Sent
from tests.hooks.conftest import ANN, PHONE, World, until


def counted(outcome: str) -> float:
    return float(instruments.CALLBACKS.labels("twilio", outcome).value)


async def post(world: World, url: str, form: Mapping[str, str], signature: str) -> int:
    headers = {"X-Twilio-Signature": signature}
    async with world.session.post(url, data=dict(form), headers=headers) as answer:
        return answer.status


def status_form(world: World, one: Sent, status: str) -> dict[str, str]:
    return {"AccountSid": world.twilio.account_sid, "MessageSid": one.sid, "MessageStatus": status}


def signed(world: World, url: str, form: Mapping[str, str]) -> str:
    return str(RequestValidator(world.twilio.auth_token).compute_signature(url, dict(form)))


async def has_status(world: World, alert_id: UUID, channel: Channel, status: Status) -> None:
    async def there() -> bool:
        return (await world.attempt(alert_id, channel)).status is status

    await until(there, f"the {channel} is {status}")


# --- states


async def test_a_text_that_arrives_is_delivered_and_the_alert_has_reached_somebody(world: World) -> None:
    alert_id = await world.sos()
    await has_status(world, alert_id, Channel.SMS, Status.DELIVERED)
    assert (await world.alert(alert_id)).reached_ms is not None
    await world.twilio.callbacks.settled()
    assert set(world.twilio.callbacks.answers) == {204}


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(reversed=True), Behaviour(twice=True), Behaviour(reversed=True, twice=True)],
    ids=str,
)
async def test_states_that_come_twice_or_in_the_wrong_order_end_the_same(
    world: World, behaviour: Behaviour
) -> None:
    world.twilio.callbacks.behaviour = behaviour
    alert_id = await world.sos()
    await has_status(world, alert_id, Channel.SMS, Status.DELIVERED)
    await world.twilio.callbacks.settled()
    assert (await world.attempt(alert_id, Channel.SMS)).status is Status.DELIVERED


async def test_a_text_that_is_not_delivered_fails_with_the_providers_reason(world: World) -> None:
    world.twilio.callbacks.behaviour = Behaviour(message="undelivered")
    alert_id = await world.sos()

    async def failed() -> bool:
        attempts = (await world.explained(alert_id)).attempts
        return any(a.reason == "undelivered" and a.provider_status == "undelivered_30003" for a in attempts)

    await until(failed, "it has failed")


async def test_a_call_that_nobody_takes_fails(world: World) -> None:
    world.twilio.callbacks.behaviour = Behaviour(call="no-answer")
    alert_id = await world.sos()

    async def failed() -> bool:
        attempts = (await world.explained(alert_id)).attempts
        return any(a.channel is Channel.CALL and a.reason == "no_answer" for a in attempts)

    await until(failed, "it has failed")


# --- answers


async def test_a_reply_of_one_acknowledges_in_the_name_of_the_contact(world: World) -> None:
    alert_id = await world.sos()
    await world.text_of(alert_id)
    [said] = await world.twilio.reply(PHONE, " 1 ")
    alert = await world.alert(alert_id)
    assert alert.state is State.ACKNOWLEDGED
    assert alert.acknowledged_by is not None and alert.acknowledged_by.id == str(ANN)
    assert said == "Thank you. You are on it for d1."


async def test_the_key_one_acknowledges_and_the_call_says_so(world: World) -> None:
    alert_id = await world.sos()
    call = await world.call_of(alert_id)
    [said] = await world.twilio.press(call, "1")
    found = await world.explained(alert_id)
    assert found.alert.state is State.ACKNOWLEDGED and "You are on it" in said
    acknowledged = next(line for line in found.audit if line.what == "acknowledged")
    assert acknowledged.actor.name == "Ann" and acknowledged.detail["how"] == "keypress"
    assert (await world.attempt(alert_id, Channel.CALL)).status is Status.ANSWERED


async def test_another_key_acknowledges_nothing_and_is_asked_for_again(world: World) -> None:
    alert_id = await world.sos()
    call = await world.call_of(alert_id)
    [said] = await world.twilio.press(call, "7")
    assert (await world.alert(alert_id)).state is State.ACTIVE and "answer 1" in said


async def test_a_mailbox_that_takes_the_call_acknowledges_nothing(world: World) -> None:
    world.twilio.callbacks.behaviour = Behaviour(call="completed")
    alert_id = await world.sos()
    await has_status(world, alert_id, Channel.CALL, Status.FAILED)
    call = await world.attempt(alert_id, Channel.CALL)
    assert (call.reason, call.provider_status) == ("no_key", "completed")
    assert (await world.alert(alert_id)).state is State.ACTIVE


async def test_any_other_text_is_a_note_and_acknowledges_nothing(world: World) -> None:
    alert_id = await world.sos()
    await world.text_of(alert_id)
    [said] = await world.twilio.reply(PHONE, "ok who is this?\r\nX-Evil: yes")
    found = await world.explained(alert_id)
    assert found.alert.state is State.ACTIVE and "answer 1" in said
    noted = next(line for line in found.audit if line.what == "noted")
    assert noted.detail["note"] == "ok who is this? X-Evil: yes"


async def test_a_false_alarm_is_believed_only_from_who_is_on_it(world: World) -> None:
    alert_id = await world.sos()
    await world.text_of(alert_id)
    await world.twilio.reply(PHONE, "2")
    assert (await world.alert(alert_id)).state is State.ACTIVE
    await world.twilio.reply(PHONE, "1")
    await world.twilio.reply(PHONE, "2")
    assert (await world.alert(alert_id)).state is State.CANCELLED


async def test_stop_opts_out_is_noted_and_is_answered_by_the_carrier_alone(world: World) -> None:
    alert_id = await world.sos()
    await world.text_of(alert_id)
    assert await world.twilio.reply(PHONE, "STOP") == []
    found = await world.explained(alert_id)
    assert any(line.what == "noted" and "no more" in str(line.detail["note"]) for line in found.audit)
    async with world.db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM opt_outs") == 1
    await world.twilio.reply(PHONE, "START")
    async with world.db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM opt_outs") == 0


async def test_help_is_the_carriers_word_and_changes_nothing(world: World) -> None:
    world.twilio.callbacks.behaviour = Behaviour(calls_back=False)
    alert_id = await world.sos()
    await world.text_of(alert_id)
    before = await world.alert(alert_id)
    assert await world.twilio.reply(PHONE, "HELP") == []
    [said] = await world.twilio.reply(PHONE, "aide")
    assert "STOP" in said
    assert (await world.alert(alert_id)).version == before.version


async def test_a_number_that_was_told_nothing_answers_nothing(world: World) -> None:
    alert_id = await world.sos()
    await world.text_of(alert_id)
    [said] = await world.twilio.reply("+4915100000000", "1")
    assert (await world.alert(alert_id)).state is State.ACTIVE and "no open alert" in said


# --- what must change nothing


async def test_a_forged_state_changes_nothing_and_is_counted(world: World) -> None:
    world.twilio.callbacks.behaviour = Behaviour(calls_back=False)
    alert_id, before = await world.sos(), counted("forged")
    sent = await world.text_of(alert_id)
    form = status_form(world, sent, "delivered")
    for signature in ("", "AAAA", "é", signed(world, sent.callback + "&x=1", form)):
        assert await post(world, sent.callback, form, signature) == 403
    assert counted("forged") == before + 4
    assert (await world.attempt(alert_id, Channel.SMS)).status is Status.SENT


async def test_a_forged_answer_acknowledges_nothing(world: World) -> None:
    alert_id = await world.sos()
    call = await world.call_of(alert_id)
    await world.text_of(alert_id)
    world.twilio.callbacks.behaviour = Behaviour(forged=True)
    before = counted("forged")
    with pytest.raises(ValueError, match="not twiml"):
        await world.twilio.reply(PHONE, "1")
    with pytest.raises(ValueError, match="not twiml"):
        await world.twilio.press(call, "1")
    assert counted("forged") > before
    assert (await world.alert(alert_id)).state is State.ACTIVE


async def test_the_signature_is_of_the_public_url_whatever_the_host_header_says(world: World) -> None:
    world.twilio.callbacks.behaviour = Behaviour(calls_back=False)
    alert_id = await world.sos()
    sent = await world.text_of(alert_id)
    form = status_form(world, sent, "delivered")
    path = sent.callback.removeprefix(world.url)
    elsewhere = "http://evil.example" + path
    headers = {"X-Twilio-Signature": signed(world, elsewhere, form), "Host": "evil.example"}
    async with world.session.post(sent.callback, data=form, headers=headers) as answer:
        assert answer.status == 403
    headers = {"X-Twilio-Signature": signed(world, sent.callback, form), "Host": "inside:8000"}
    async with world.session.post(sent.callback, data=form, headers=headers) as answer:
        assert answer.status == 204


async def test_another_account_of_the_same_token_is_not_believed(world: World) -> None:
    world.twilio.callbacks.behaviour = Behaviour(calls_back=False)
    sent = await world.text_of(await world.sos())
    form = status_form(world, sent, "delivered") | {"AccountSid": "AC" + "0" * 32}
    assert await post(world, sent.callback, form, signed(world, sent.callback, form)) == 403


async def test_a_reply_said_again_later_does_not_acknowledge_again(world: World) -> None:
    world.twilio.callbacks.behaviour = Behaviour(calls_back=False)
    alert_id = await world.sos()
    await world.text_of(alert_id)
    sid = "SM" + uuid4().hex
    await world.twilio.reply(PHONE, "1", sid)
    before, replayed = await world.alert(alert_id), counted("replayed")
    assert await world.twilio.reply(PHONE, "1", sid) == []
    assert (await world.alert(alert_id)).version == before.version
    assert counted("replayed") == replayed + 1


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (
            "/hooks/twilio/status/x?alert=y&contact=z",
            {"MessageSid": "SM" + "0" * 32, "MessageStatus": "sent"},
        ),
        ("/hooks/twilio/status/{a}?alert={a}&contact=z", {"MessageSid": "SM1", "MessageStatus": "sent"}),
        (
            "/hooks/twilio/status/{a}?alert={a}&contact=z",
            {"MessageSid": "SM" + "0" * 32, "MessageStatus": "eaten"},
        ),
        ("/hooks/twilio/status/{a}", {"MessageSid": "SM" + "0" * 32, "MessageStatus": "sent"}),
        ("/hooks/twilio/voice/{a}?alert={a}&contact=z", {"CallSid": "CA" + "0" * 32, "Digits": "one"}),
        ("/hooks/twilio/voice/{a}?alert={a}&contact=z", {"CallSid": "CA" + "0" * 32}),
        ("/hooks/twilio/sms", {"From": "<b>", "Body": "1", "MessageSid": "SM" + "0" * 32}),
        ("/hooks/twilio/sms", {"From": "+4915112345678", "Body": "1"}),
    ],
)
async def test_what_is_signed_and_makes_no_sense_is_refused(
    world: World, path: str, form: dict[str, str]
) -> None:
    url, before = world.url + path.format(a=UUID(int=5)), counted("malformed")
    form = form | {"AccountSid": world.twilio.account_sid}
    assert await post(world, url, form, signed(world, url, form)) == 400
    assert counted("malformed") == before + 1


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"a=1&a=2", b"x" * 70_000, b"", b"&".join(b"f%d=1" % n for n in range(300))],
    ids=len,
)
async def test_a_body_that_is_no_form_is_refused(world: World, body: bytes) -> None:
    url = f"{world.url}/hooks/twilio/sms"
    async with world.session.post(url, data=body, headers={"X-Twilio-Signature": "x"}) as answer:
        found: dict[str, Any] = await answer.json()
        assert answer.status in (400, 403, 413) and not found["ok"]


async def test_a_key_for_an_alert_that_is_not_there_is_said_so(world: World) -> None:
    before = counted("unknown")
    url = f"{world.url}/hooks/twilio/voice/{uuid4()}?alert={uuid4()}&contact={ANN}"
    form = {"AccountSid": world.twilio.account_sid, "CallSid": "CA" + "0" * 32, "Digits": "1"}
    assert await post(world, url, form, signed(world, url, form)) == 200
    assert counted("unknown") == before + 1


async def test_a_get_changes_nothing(world: World) -> None:
    alert_id = await world.sos()
    call = await world.call_of(alert_id)
    for url in (call.callback, f"{world.url}/hooks/twilio/sms"):
        async with world.session.get(url) as answer:
            assert answer.status == 405
    assert (await world.alert(alert_id)).state is State.ACTIVE
