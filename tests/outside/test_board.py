"""The list of what would have gone out, answers in people's names, faults by order, and who may ask."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import aiosmtplib
import pytest
from firebase_admin import messaging

from alerts.notifiers.fcm import Fcm
from realtime.outside.accounts import made_up, ports_of, set_for_real
from realtime.outside.sent import MOST, SAID_KEPT, SentReply, Talks
from realtime.outside.servers import Mode, Provider, Servers
from realtime.settings import Settings
from tests.cheap_keys import one_authority
from tests.outside.kit import PATIENCE_S, PHONE, Outside, outside, until

pytestmark = [
    pytest.mark.filterwarnings("ignore:Message.token is deprecated"),
    pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits long"),
]
ASKS = (
    '<Response><Gather action="{}/hooks/twilio/voice/1"><Say>Help. Press 1.</Say></Gather>'
    "<Say>Help. Press 1.</Say></Response>"
)
HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module", autouse=True)
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with one_authority(tmp_path_factory.mktemp("authority")):
        yield


@pytest.fixture
async def out() -> AsyncIterator[Outside]:
    async with outside() as made:
        yield made


async def push(out: Outside, link: str = "") -> messaging.SendResponse:
    fcm = Fcm(out.account, base_url=out.settings.fcm_base_url, timeout_s=PATIENCE_S)
    data = {"title": "SOS – Sam", "body": "Open to answer.", "link": link}
    try:
        (answer,) = await fcm.send([messaging.Message(token="a-phone-somewhere", data=data)], PATIENCE_S)
    finally:
        await fcm.close()
    return answer


async def ringing(out: Outside) -> dict[str, object]:
    """A call that rings, as the list has it."""
    await out.call(ASKS.format(out.settings.public_url))

    async def rings() -> bool:
        return any(call["state"] == "ringing" for call in await out.sent("call"))

    await until(rings, "it rings")
    return (await out.sent("call"))[0]


# --- the list


async def test_everything_that_went_out_is_listed_the_newest_first(out: Outside) -> None:
    link = f"{out.settings.public_url}/a#tok-en_1"
    await out.text(f"Sam has pressed SOS. Reply 1 or open {link}")
    await push(out, link)
    await out.mail("SOS – Sam", f"If you can help:\n{link}\n")
    await out.call(ASKS.format(out.settings.public_url))
    found = await out.sent()
    assert sorted(item["kind"] for item in found) == ["call", "mail", "push", "sms"]
    assert [item["at_ms"] for item in found] == sorted((item["at_ms"] for item in found), reverse=True)
    by_kind = {item["kind"]: item for item in found}
    assert {kind: item["link"] for kind, item in by_kind.items()} == {
        "sms": link,
        "push": link,
        "mail": link,
        "call": None,
    }
    assert by_kind["sms"]["to"] == PHONE and by_kind["sms"]["can"] == ["reply"]
    assert by_kind["mail"]["to"] == "jo@wayguard.example" and by_kind["mail"]["title"] == "SOS – Sam"
    assert by_kind["push"]["to"] == "a-phone-somewhere" and by_kind["push"]["text"] == "Open to answer."
    assert by_kind["call"]["text"] == "Help. Press 1."


async def test_the_state_of_a_message_moves_with_its_callbacks(out: Outside) -> None:
    await out.text("help")

    async def delivered() -> bool:
        return (await out.sent("sms"))[0]["state"] == "delivered"

    await until(delivered, "delivered")


async def test_the_list_is_bounded_and_keeps_the_newest(out: Outside) -> None:
    for number in range(MOST + 5):
        await out.text(f"number {number}")
    found = await out.sent()
    assert len(found) == MOST
    texts = {item["text"] for item in found}
    assert f"number {MOST + 4}" in texts and "number 0" not in texts
    assert len((await out.ask("GET", "/_sent?limit=3"))[1]["sent"]) == 3
    for wrong in ("-1", "x", "٣", "9999999"):
        assert (await out.ask("GET", f"/_sent?limit={wrong}"))[0] == 400


@pytest.mark.parametrize(
    "text",
    ["javascript:alert(1)/a#x", "https://elsewhere.example/a#token", "http://127.0.0.1:1/a#token", HOSTILE],
)
async def test_only_a_link_of_ours_is_a_link(out: Outside, text: str) -> None:
    await out.text(text)
    await push(out, text)
    found = await out.sent()
    assert [item["link"] for item in found] == [None, None]
    assert (await out.sent("sms"))[0]["text"] == text


def test_what_was_said_is_kept_only_so_far() -> None:
    talks = Talks()
    for number in range(700):
        talks.add(f"SM{number}", SentReply("person", "1"))
    assert talks.of("SM0") == [] and talks.of("SM699") == [SentReply("person", "1")]
    for number in range(SAID_KEPT + 1):
        talks.add("SM699", SentReply("person", str(number)))
    assert len(talks.of("SM699")) == SAID_KEPT and talks.of("SM699")[-1].text == str(SAID_KEPT)


# --- answers


async def test_a_reply_comes_back_as_a_signed_text_message_of_that_phone(out: Outside) -> None:
    await out.text("Reply 1 if you are on it")
    (item,) = await out.sent("sms")
    assert await out.ask("POST", "/_reply", {"id": item["id"], "text": "1"}) == (
        200,
        {"ok": True, "answer": ["heard 1"]},
    )
    (path, form) = out.hooked[-1]
    assert path == "/hooks/twilio/sms" and out.forged == 0
    assert (form["From"], form["To"], form["Body"]) == (PHONE, out.settings.twilio_from, "1")
    (item,) = await out.sent("sms")
    assert item["said"] == [{"by": "person", "text": "1"}, {"by": "wayguard", "text": "heard 1"}]


async def test_every_reply_has_a_sid_of_its_own_though_the_stand_ins_are_started_again(out: Outside) -> None:
    await out.text("one")
    (item,) = await out.sent("sms")
    for _ in range(2):
        await out.ask("POST", "/_reply", {"id": item["id"], "text": "1"})
    sids = [form["MessageSid"] for _, form in out.hooked if "Body" in form]
    again = Servers(out.settings)
    assert len({item["id"], *sids}) == 3
    assert again.twilio._sid("SM") not in {item["id"], *sids}


async def test_a_key_is_pressed_once_and_signed(out: Outside) -> None:
    call = await ringing(out)
    assert call["can"] == ["press", "hang_up"]
    status, told = await out.ask("POST", "/_press", {"id": call["id"], "digits": "1"})
    assert (status, told["answer"]) == (200, ["heard 1"])
    pressed = [form for path, form in out.hooked if path.startswith("/hooks/twilio/voice")]
    assert [form["Digits"] for form in pressed] == ["1"] and out.forged == 0
    assert (await out.ask("POST", "/_press", {"id": call["id"], "digits": "1"}))[0] == 409
    assert (await out.sent("call"))[0]["can"] == []
    assert len([1 for path, _ in out.hooked if path.startswith("/hooks/twilio/voice")]) == 1


async def test_two_presses_at_once_are_one(out: Outside) -> None:
    call = await ringing(out)
    press = {"id": call["id"], "digits": "1"}
    answers = await asyncio.gather(*(out.ask("POST", "/_press", press) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]


async def test_a_call_that_is_not_answered_is_over(out: Outside) -> None:
    call = await ringing(out)
    assert (await out.ask("POST", "/_hang_up", {"id": call["id"]}))[0] == 200
    assert (await out.sent("call"))[0]["state"] == "no-answer"
    assert (await out.ask("POST", "/_hang_up", {"id": call["id"]}))[0] == 409


async def test_a_call_ends_by_itself_after_it_rang_as_long_as_it_was_told_to(out: Outside) -> None:
    await out.call(ASKS.format(out.settings.public_url), Timeout="0")

    async def over() -> bool:
        return (await out.sent("call"))[0]["state"] == "no-answer"

    await until(over, "nobody took it")


async def test_an_answer_that_is_no_twiml_is_as_none_and_ends_a_call(out: Outside) -> None:
    await out.text("help")
    (item,) = await out.sent("sms")
    call = await ringing(out)
    out.broken = True
    assert await out.ask("POST", "/_reply", {"id": item["id"], "text": "1"}) == (
        200,
        {"ok": True, "answer": []},
    )
    assert (await out.ask("POST", "/_press", {"id": call["id"], "digits": "1"}))[0] == 200
    assert (await out.sent("call"))[0]["state"] == "completed"


async def test_with_nobody_at_the_public_url_a_reply_says_so(out: Outside) -> None:
    await out.text("help")
    (item,) = await out.sent("sms")
    out.servers.twilio.sms_url = "http://127.0.0.1:9/hooks/twilio/sms"
    await out.ask("POST", "/_reply", {"id": item["id"], "text": "1"})
    assert (await out.sent("sms"))[0]["said"][-1] == {"by": "wayguard", "text": "(nothing is said back)"}


# --- faults


async def status_of(out: Outside, mode: Mode) -> object:
    assert (await out.ask("PUT", "/_control", {"provider": "twilio", "mode": mode}))[0] == 200
    try:
        async with asyncio.timeout(0.3 if mode is Mode.HANG else PATIENCE_S):
            return await out.text("help")
    except (TimeoutError, aiohttp.ClientError) as error:
        return type(error)


@pytest.mark.parametrize(
    ("mode", "answer", "kept"),
    [
        (Mode.HEALTHY, 201, 1),
        (Mode.FAIL, 500, 0),
        (Mode.HANG, TimeoutError, 0),
        (Mode.THROTTLE, 429, 0),
        (Mode.LOSE_REPLY, aiohttp.ServerDisconnectedError, 1),
        (Mode.LIE, 201, 0),
    ],
)
async def test_twilio_does_as_it_is_told(out: Outside, mode: Mode, answer: object, kept: int) -> None:
    assert await status_of(out, mode) == answer
    assert len(await out.sent("sms")) == kept
    assert await status_of(out, Mode.HEALTHY) == 201
    assert len(await out.sent("sms")) == kept + 1


@pytest.mark.parametrize(
    ("mode", "succeeds", "kept"),
    [
        (Mode.HEALTHY, True, 1),
        (Mode.FAIL, False, 0),
        (Mode.THROTTLE, False, 0),
        (Mode.LOSE_REPLY, False, 1),
        (Mode.LIE, True, 0),
    ],
)
async def test_fcm_does_as_it_is_told(out: Outside, mode: Mode, succeeds: bool, kept: int) -> None:
    out.servers.set_mode(Provider.FCM, mode)
    assert (await push(out)).success is succeeds
    assert len(await out.sent("push")) == kept


@pytest.mark.parametrize(
    ("mode", "error", "kept"),
    [
        (Mode.HEALTHY, None, 1),
        (Mode.FAIL, aiosmtplib.SMTPException, 0),
        (Mode.THROTTLE, aiosmtplib.SMTPRecipientsRefused, 0),
        (Mode.LOSE_REPLY, aiosmtplib.SMTPException, 1),
        (Mode.LIE, None, 0),
    ],
)
async def test_the_mail_server_does_as_it_is_told(
    out: Outside, mode: Mode, error: type[Exception] | None, kept: int
) -> None:
    out.servers.set_mode(Provider.SMTP, mode)
    if error is None:
        await out.mail("SOS", "help")
    else:
        with pytest.raises(error):
            await out.mail("SOS", "help")
    assert len(await out.sent("mail")) == kept


@pytest.mark.parametrize(
    ("mode", "answer", "there"),
    [
        (Mode.HEALTHY, 200, {"x": 1}),
        (Mode.FAIL, 500, None),
        (Mode.THROTTLE, 429, None),
        (Mode.LOSE_REPLY, None, {"x": 1}),
        (Mode.LIE, 200, None),
    ],
)
async def test_the_database_does_as_it_is_told(
    out: Outside, mode: Mode, answer: int | None, there: object
) -> None:
    out.servers.set_mode(Provider.RTDB, mode)
    base, _, query = out.settings.firebase_database_url.partition("?")
    headers = {"Authorization": "Bearer owner"}
    try:
        async with out.http.put(f"{base}live.json?{query}", json={"x": 1}, headers=headers) as response:
            assert response.status == answer
    except aiohttp.ServerDisconnectedError:
        assert answer is None
    assert out.servers.database.at("live") == there


async def test_the_modes_are_shown(out: Outside) -> None:
    await out.ask("PUT", "/_control", {"provider": "smtp", "mode": "lie"})
    expected = {"twilio": "healthy", "fcm": "healthy", "rtdb": "healthy", "smtp": "lie"}
    assert (await out.ask("GET", "/_control"))[1] == expected
    assert (await out.ask("GET", "/_sent"))[1]["providers"] == expected


# --- who may ask


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "elsewhere.example:80", "127.0.0.1.nip.io", "10.0.0.1"]
)
async def test_a_name_that_somebody_else_points_here_is_refused(out: Outside, host: str) -> None:
    for path in ("/", "/_sent", "/_control"):
        async with out.http.get(out.url + path, headers={"Host": host}) as answer:
            assert answer.status == 403


async def test_another_site_can_neither_reply_nor_press_nor_break_anything(out: Outside) -> None:
    await out.text("help")
    (item,) = await out.sent("sms")
    reply = {"id": item["id"], "text": "1"}
    assert (await out.ask("POST", "/_reply", reply, Origin="https://elsewhere.example"))[0] == 403
    assert (await out.ask("POST", "/_reply", reply, Origin="null"))[0] == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        async with out.http.post(
            f"{out.url}/_reply", data=b'{"id":"1","text":"1"}', headers={"Content-Type": kind}
        ) as answer:
            assert answer.status == 415
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert [path for path, _ in out.hooked if path == "/hooks/twilio/sms"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/_control", {"provider": "twilio", "mode": "explode"}, 400),
        ("PUT", "/_control", {"provider": "carrier pigeon", "mode": "fail"}, 400),
        ("PUT", "/_control", {"provider": "twilio"}, 400),
        ("PUT", "/_control", [1], 400),
        ("POST", "/_reply", {"id": "SM0", "text": "1"}, 404),
        ("POST", "/_reply", {"id": "SM0", "text": ""}, 400),
        ("POST", "/_reply", {"id": "SM0", "text": "x" * 1_601}, 400),
        ("POST", "/_press", {"id": "CA0", "digits": "1"}, 404),
        ("POST", "/_press", {"id": "CA0", "digits": "one"}, 400),
        ("POST", "/_hang_up", {"id": "CA0"}, 404),
    ],
)
async def test_what_is_not_asked_for_changes_nothing(
    out: Outside, method: str, path: str, body: object, status: int
) -> None:
    assert (await out.ask(method, path, body))[0] == status
    assert set(out.servers.modes.values()) == {Mode.HEALTHY} and out.hooked == []


# --- accounts


def test_made_up_accounts_make_whole_settings_and_no_two_runs_share_them() -> None:
    ports = [1001, 1002, 1003, 1004]
    one, other = made_up(ports), made_up(ports)
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "FIREBASE_CREDENTIALS"):
        assert one[name] != other[name]
    settings = Settings(**{name.lower(): value for name, value in one.items()})  # type: ignore[arg-type]
    assert list(ports_of(settings)) == ports


def test_stand_ins_without_settings_that_point_at_them_name_what_is_missing() -> None:
    with pytest.raises(ValueError, match="TWILIO_BASE_URL"):
        Servers(Settings())
    given = {name.lower(): value for name, value in made_up([1, 2, 3, 4]).items()}
    with pytest.raises(ValueError, match="SMTP_HOST"):
        Servers(Settings(**(given | {"smtp_host": "mail.example"})))  # type: ignore[arg-type]


def test_what_is_set_for_the_real_ones_is_named() -> None:
    environ = {"PATH": "/bin", "SMTP_HOST": "mail.example", "TWILIO_AUTH_TOKEN": "t", "FCM_BASE_URL": ""}
    assert set_for_real(environ) == ["SMTP_HOST", "TWILIO_AUTH_TOKEN"]


async def test_a_port_that_is_taken_ends_the_start_and_leaves_none_of_the_others() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with outside() as free:
            ports = ports_of(free.settings)
        given = {name.lower(): value for name, value in made_up(ports).items()}
        given["smtp_port"] = str(taken.getsockname()[1])
        settings = Settings(**given)  # type: ignore[arg-type]
        with pytest.raises(OSError):
            async with Servers(settings):
                raise AssertionError("it started")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", ports[0])
