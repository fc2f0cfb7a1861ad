"""Every way out, made from the settings alone, against the stand-ins."""

import re
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.alert import Alert
from alerts.attempt import Accepted, Channel, Permanent, Purpose
from alerts.notifiers.links import VALID_MS
from alerts.notifiers.webhook import webhook_secret
from alerts.replies.answer import read_token
from alerts.words import render
from alerts.words.gsm import segments
from alerts.words.language import AVAILABLE
from realtime.alerting.notifiers import ConfiguredNotifiers
from realtime.outside.fcm import FcmServer
from realtime.outside.mail import MailServer
from realtime.outside.sink import Sink
from realtime.outside.twilio import TwilioServer
from realtime.outside.twilio_callbacks import Behaviour
from realtime.settings import Settings
from tests.alerts.jobs import NOW_MS, alert, contact, job

pytestmark = pytest.mark.filterwarnings("ignore:Message.token is deprecated")
KEY = "k" * 40
PATIENT_S = 20.0


async def announce(alert: Alert) -> bool:
    return True


async def prune(tenant: str, token: str) -> None:
    raise AssertionError("nothing is to be pruned")


def ways_out(**given: Any) -> ConfiguredNotifiers:
    settings = Settings(**{"alerts_secret": KEY, "public_url": "https://wayguard.example/", **given})
    return ConfiguredNotifiers(settings, announce, prune, lambda: NOW_MS)


async def test_what_is_not_configured_is_not_there() -> None:
    ways = ways_out()
    assert set(ways.by_channel) >= {Channel.SOCKET, Channel.WEBHOOK}
    assert not set(ways.by_channel) & {Channel.PUSH, Channel.EMAIL}
    await ways.close()


async def test_one_alert_goes_out_by_every_way_with_the_same_link() -> None:
    async with (
        FcmServer() as fcm,
        MailServer() as mail,
        Sink(lambda name: webhook_secret(KEY, "acme", name), now_s=lambda: NOW_MS // 1000) as sink,
    ):
        ways = ways_out(
            firebase_credentials=fcm.service_account(),
            fcm_base_url=fcm.url,
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_from="sos@wayguard.example",
            smtp_security="none",
            outside_allow_private=True,
        )
        bob = contact()
        bob = msgspec.structs.replace(bob, webhook_url=sink.hook_url(bob.contact_id))
        for channel in (Channel.SOCKET, Channel.PUSH, Channel.EMAIL, Channel.WEBHOOK):
            told = await ways.by_channel[channel].send(job(to=bob, channel=channel), PATIENT_S)
            assert isinstance(told, Accepted), channel
        link = ways.links.of(job(to=bob))
        await ways.close()
    assert link.startswith("https://wayguard.example/a#")
    assert fcm.pushes[0].message["data"]["link"] == link
    body = mail.mails[0].message.get_body(("plain",))
    assert body is not None and f"\n{link}\n" in body.get_content().replace("\r\n", "\n")
    assert sink.hooks[0].signed and sink.hooks[0].body["link"] == link


def twilio_settings(server: TwilioServer, **given: Any) -> dict[str, Any]:
    return {
        "twilio_account_sid": server.account_sid,
        "twilio_auth_token": server.auth_token,
        "twilio_from": server.number,
        "twilio_base_url": server.url,
        **given,
    }


async def test_texts_and_calls_go_out_by_twilio() -> None:
    async with TwilioServer() as twilio:
        twilio.callbacks.behaviour = Behaviour(calls_back=False)
        ways = ways_out(**twilio_settings(twilio))
        for channel in (Channel.SMS, Channel.CALL):
            assert isinstance(await ways.by_channel[channel].send(job(channel=channel), PATIENT_S), Accepted)
        await ways.close()
    assert twilio.messages[0].callback.startswith("https://wayguard.example/hooks/twilio/status/")


async def test_a_messaging_service_makes_no_calls_unless_a_number_is_given_for_them() -> None:
    async with TwilioServer() as twilio:
        service = twilio_settings(twilio, twilio_from="MG" + "a" * 32)
        for given, calls in ((service, False), ({**service, "twilio_call_from": twilio.number}, True)):
            ways = ways_out(**given)
            assert Channel.SMS in ways.by_channel and (Channel.CALL in ways.by_channel) is calls
            await ways.close()


SERVICE = "MG" + "a" * 32


@pytest.mark.parametrize("language", AVAILABLE)
@pytest.mark.parametrize("purpose", [Purpose.ALERT, Purpose.REMINDER, Purpose.CODE])
async def test_a_sender_that_nobody_can_reply_to_asks_for_no_reply(language: str, purpose: Purpose) -> None:
    async with TwilioServer() as twilio, MailServer() as mail:
        twilio.names = {"WAYGUARD"}
        twilio.callbacks.behaviour = Behaviour(calls_back=False)
        smtp = {
            "smtp_host": "127.0.0.1", "smtp_port": mail.port, "smtp_from": "sos@wayguard.example",
            "smtp_security": "none",
        }  # fmt: skip
        of = alert(message="482913") if purpose is Purpose.CODE else alert(place=None)
        for sender in (twilio.number, SERVICE, "WAYGUARD"):
            ways = ways_out(**twilio_settings(twilio, twilio_from=sender), **smtp)
            for channel in (Channel.SMS, Channel.EMAIL):
                what = job(of=of, to=contact(language=language), purpose=purpose, channel=channel)
                assert isinstance(await ways.by_channel[channel].send(what, PATIENT_S), Accepted)
            await ways.close()
        replied = [says_reply(text.text.split("http")[0]) for text in twilio.messages]
        mails = [one.message.get_body(("plain",)) for one in mail.mails]
        texts = [body.get_content().split("http")[0] for body in mails if body is not None]
    assert replied == [True, True, False]
    if purpose is not Purpose.CODE or "STOP" in texts[0]:
        assert [says_reply(text) for text in texts] == [True, True, False]


def says_reply(text: str) -> bool:
    """Whether it asks to answer by a text: the digit 1 alone, or the word STOP."""
    return re.search(r"(?<![0-9:.])1(?![0-9:.])|STOP", text.replace("d-1", "")) is not None


async def test_without_an_address_on_the_internet_nobody_is_asked_to_reply_or_to_press() -> None:
    async with TwilioServer() as twilio:
        settings = twilio_settings(twilio) | {"twilio_base_url": "", "public_url": "http://127.0.0.1:8000"}
        ways = ways_out(**settings)
        written = await ways._writer.write(job(channel=Channel.CALL))
        await ways.close()
    assert "Reply 1" not in written.words.short and "press 1" not in written.words.spoken


async def test_a_name_makes_no_calls_unless_a_number_is_given_for_them() -> None:
    async with TwilioServer() as twilio:
        for sender in ("WAYGUARD", "12345", SERVICE):
            given = twilio_settings(twilio, twilio_from=sender)
            for more, calls in (({}, False), ({"twilio_call_from": twilio.number}, True)):
                ways = ways_out(**given, **more)
                assert Channel.SMS in ways.by_channel and (Channel.CALL in ways.by_channel) is calls
                await ways.close()


async def test_links_of_two_attempts_differ_and_both_are_good() -> None:
    ways = ways_out()
    links = {ways.links.of(job(attempt_id=UUID(int=n))) for n in (4, 5)}
    await ways.close()
    assert len(links) == 2
    for link in links:
        answer = read_token(KEY, link.partition("#")[2], NOW_MS + VALID_MS - 200_000)
        assert answer is not None and answer.alert_id == job().alert.alert_id


async def test_a_private_webhook_is_refused_unless_that_was_allowed() -> None:
    ways = ways_out()
    to = contact(webhook_url="https://10.0.0.7/in")
    assert await ways.by_channel[Channel.WEBHOOK].send(job(to=to), 5.0) == Permanent("forbidden_address")
    await ways.close()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"geocoder_url": "nominatim"}, "GEOCODER_URL"),
        ({"smtp_host": "h", "smtp_from": "nobody"}, "SMTP_FROM"),
        ({"firebase_credentials": "/nowhere.json"}, "FIREBASE_CREDENTIALS"),
        ({"smtp_host": "h"}, "SMTP_FROM"),
        ({"smtp_username": "u"}, "SMTP_PASSWORD"),
        ({"twilio_account_sid": "AC1", "twilio_from": "+15005550006"}, "TWILIO_AUTH_TOKEN"),
        ({"twilio_auth_token": "t"}, "TWILIO_ACCOUNT_SID and TWILIO_FROM"),
        (
            {
                "twilio_account_sid": "AC1",
                "twilio_auth_token": "t",
                "twilio_from": "+15005550006",
                "twilio_call_from": "WAYGUARD",
            },
            "TWILIO_CALL_FROM",
        ),
        (
            {"twilio_account_sid": "AC1", "twilio_auth_token": "t", "twilio_from": "Wayguard Alerts"},
            "TWILIO_FROM",
        ),
    ],
    ids=str,
)
async def test_what_is_set_wrongly_or_by_half_is_named_at_start(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){named}"):
        ways_out(**given)


@given(language=st.sampled_from(AVAILABLE), silent=st.booleans())
def test_a_real_link_leaves_room_for_the_message(language: str, silent: bool) -> None:
    ways = ways_out()
    what = job(to=contact(language=language))
    what = msgspec.structs.replace(what, alert=msgspec.structs.replace(what.alert, silent=silent))
    link = ways.links.of(what)
    short = render(what, link, None, NOW_MS).short
    assert short.endswith(link) and "52.52000, 13.40500" in short and "Ana Lopez" in short
    assert segments(short) <= (4 if language == "hi" else 2)
