"""Push by the real firebase_admin client, against a server that speaks FCM's v1 API."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from firebase_admin import _http_client, exceptions, messaging
from firebase_admin._retry import HttpxRetry

from alerts.attempt import Accepted, Outcome, Permanent, Purpose, Retryable, Unsure
from alerts.notifiers.fcm import BATCH, Fcm
from alerts.notifiers.firebase import service_account
from alerts.notifiers.push import PushNotifier, best_of, message_of, outcome_of
from alerts.notifiers.writer import MessageWriter
from alerts.words.language import AVAILABLE
from realtime.outside import accounts
from realtime.outside.fcm import MESSAGE_BYTES, FcmServer
from realtime.outside.web import SimulatedFault, Trouble
from tests.alerts.jobs import LINK, NOW_MS, FixedLinks, alert, contact, job
from tests.cheap_keys import one_authority, small_key

pytestmark = [
    pytest.mark.filterwarnings("ignore:Message.token is deprecated"),
    pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits long"),
]
PATIENT_S = 20.0
IMPATIENT_S = 1.0


class Devices:
    """Remembers what was pruned; fails when told."""

    def __init__(self) -> None:
        self.pruned: list[tuple[str, str]] = []
        self.away = False
        self.hangs = False

    async def prune(self, tenant: str, token: str) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise ConnectionError("away")
        self.pruned.append((tenant, token))


@pytest.fixture(scope="module", autouse=True)
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with one_authority(tmp_path_factory.mktemp("authority")):
        yield


@pytest.fixture(scope="module")
def account() -> str:
    """A service account for all tests."""
    return accounts.service_account("http://127.0.0.1:1/token", small_key())


@pytest.fixture
async def server(account: str) -> AsyncIterator[FcmServer]:
    async with FcmServer(account=account) as server:
        yield server


@pytest.fixture
def devices() -> Devices:
    return Devices()


@pytest.fixture
async def push(
    server: FcmServer, devices: Devices, request: pytest.FixtureRequest
) -> AsyncIterator[PushNotifier]:
    """A parameter is the number of devices that one message goes to at most."""
    fcm = Fcm(service_account(server.service_account()), base_url=server.url, timeout_s=PATIENT_S)
    max_devices: int = getattr(request, "param", BATCH)
    push = PushNotifier(
        fcm, MessageWriter(FixedLinks(), lambda: NOW_MS), devices.prune, lambda: NOW_MS, max_devices
    )
    yield push
    await push.close()


def to(*tokens: str, **settings: Any) -> Any:
    return job(to=contact(push_tokens=tokens), **settings)


async def test_a_push_is_urgent_and_nothing_can_replace_it(push: PushNotifier, server: FcmServer) -> None:
    outcome = await push.send(to("phone"), PATIENT_S)
    (sent,) = server.pushes
    assert outcome == Accepted(sent.name, "accepted")
    message = sent.message
    assert "notification" not in message, "a notification message is collapsible on Android"
    assert message["android"] == {"priority": "high", "ttl": "3600s"}
    headers = message["apns"]["headers"]
    assert headers["apns-priority"] == "10" and headers["apns-push-type"] == "alert"
    assert "apns-collapse-id" not in headers
    assert message["apns"]["payload"]["aps"]["interruption-level"] == "time-sensitive"
    assert message["webpush"]["headers"]["Urgency"] == "high"
    assert "collapse" not in json.dumps(message).lower()


async def test_a_push_leads_to_the_alert_and_holds_no_place(push: PushNotifier, server: FcmServer) -> None:
    await push.send(to("phone"), PATIENT_S)
    message = server.pushes[0].message
    assert message["data"]["alert_id"] == "00000000-0000-0000-0000-000000000001"
    assert message["data"]["version"] == "3"
    assert message["data"]["link"] == LINK
    assert "52.5" not in json.dumps(message) and "13.4" not in json.dumps(message)


async def test_several_devices_are_told_together_and_one_is_enough(
    push: PushNotifier, server: FcmServer, devices: Devices
) -> None:
    server.unregistered.add("old")
    outcome = await push.send(to("old", "new", "new"), PATIENT_S)
    assert isinstance(outcome, Accepted)
    assert [sent.token for sent in server.pushes] == ["new"]
    assert devices.pruned == [("acme", "old")]


async def test_a_device_that_is_gone_is_forgotten(
    push: PushNotifier, server: FcmServer, devices: Devices
) -> None:
    server.unregistered.add("old")
    server.malformed.add("bad")
    assert await push.send(to("old"), PATIENT_S) == Permanent("unregistered", prune=True)
    assert await push.send(to("bad"), PATIENT_S) == Permanent("bad_token", prune=True)
    assert devices.pruned == [("acme", "old"), ("acme", "bad")]


@pytest.mark.parametrize(
    "field",
    [
        "message.data[0].value", "message", "message.android.ttl", "message.webpush.fcm_options.link",
        "message.apns.payload", "message.token.x", "message.tokens", "token", "message.topic",
        "message.name",
    ],
)  # fmt: skip
async def test_a_malformed_message_of_ours_prunes_no_device(
    push: PushNotifier, server: FcmServer, devices: Devices, field: str
) -> None:
    server.wrong_field = field
    assert await push.send(to("a", "b"), PATIENT_S) == Permanent("http_400")
    assert not devices.pruned


async def test_a_token_is_pruned_only_when_the_details_name_it(
    push: PushNotifier, server: FcmServer, devices: Devices
) -> None:
    server.vague.add("vague")
    server.malformed.add("bad")
    assert await push.send(to("vague"), PATIENT_S) == Permanent("http_400")
    assert isinstance(await push.send(to("vague", "bad", "good"), PATIENT_S), Accepted)
    assert devices.pruned == [("acme", "bad")]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b'{"error": "message.token"}', b'{"error": {"details": "message.token"}}',
        b'{"error": {"details": ["message.token"]}}',
        b'{"error": {"details": [{"fieldViolations": "message.token"}]}}',
        b'{"error": {"details": [{"fieldViolations": ["message.token"]}]}}',
        b'{"error": {"details": [{"field": "message.token"}]}}', b'{"error": {"details": null}}',
        b'{"error": {"details": [{"fieldViolations": null}]}}',
        b'{"error": {"message": "message.token is not a valid FCM registration token"}}',
    ],
    ids=range(12),
)  # fmt: skip
def test_an_answer_that_names_no_token_in_its_details_prunes_nothing(body: bytes) -> None:
    response = httpx.Response(400, content=body, request=httpx.Request("POST", "http://x"))
    error = exceptions.InvalidArgumentError("message.token", http_response=response)
    answer = messaging.SendResponse(None, error)
    assert outcome_of(answer, NOW_MS) == Permanent("http_400")


async def test_a_device_of_another_project_is_kept(
    push: PushNotifier, server: FcmServer, devices: Devices
) -> None:
    server.foreign.add("theirs")
    assert await push.send(to("theirs"), PATIENT_S) == Permanent("sender_mismatch")
    assert not devices.pruned


@pytest.mark.parametrize("trouble", ["away", "hangs"])
async def test_who_cannot_forget_a_device_does_not_stop_the_message(
    push: PushNotifier, server: FcmServer, devices: Devices, trouble: str
) -> None:
    setattr(devices, trouble, True)
    server.unregistered.add("old")
    assert isinstance(await push.send(to("old", "new"), PATIENT_S), Accepted)


@pytest.mark.parametrize(
    ("fault", "outcome", "arrived"),
    [
        (SimulatedFault(Trouble.STATUS, 503), Retryable("http_503", provider_down=True), 0),
        (SimulatedFault(Trouble.STATUS, 503, "9"), Retryable("http_503", 9.0, provider_down=True), 0),
        (SimulatedFault(Trouble.STATUS, 500), Retryable("http_500", provider_down=True), 0),
        (SimulatedFault(Trouble.STATUS, 429, "30"), Retryable("quota_exceeded", 30.0), 0),
        (SimulatedFault(Trouble.STATUS, 429), Retryable("quota_exceeded"), 0),
        (SimulatedFault(Trouble.STATUS, 401), Retryable("auth", provider_down=True), 0),
        (SimulatedFault(Trouble.STATUS, 400), Permanent("http_400"), 0),
        (SimulatedFault(Trouble.DROP), Unsure("connection_lost"), 0),
        (SimulatedFault(Trouble.LOSE_REPLY), Unsure("connection_lost"), 1),
        (SimulatedFault(Trouble.GARBAGE), Unsure("connection_lost"), 1),
    ],
)
async def test_each_answer_is_what_it_means_and_nothing_is_tried_twice(
    push: PushNotifier, server: FcmServer, fault: SimulatedFault, outcome: Outcome, arrived: int
) -> None:
    server.fault = fault
    assert await push.send(to("phone"), PATIENT_S) == outcome
    assert len(server.pushes) == arrived
    assert sum(call.path.endswith("messages:send") for call in server.calls) == 1
    server.fault = None
    assert isinstance(await push.send(to("phone"), PATIENT_S), Accepted)


@pytest.mark.parametrize("trouble", [Trouble.HANG, Trouble.HANG_AFTER])
async def test_silence_leaves_it_open(push: PushNotifier, server: FcmServer, trouble: Trouble) -> None:
    await push.send(to("warm"), PATIENT_S)
    server.fault = SimulatedFault(trouble)
    assert await push.send(to("phone"), IMPATIENT_S) == Unsure("timeout")


async def test_a_device_that_hangs_holds_up_no_other(push: PushNotifier, server: FcmServer) -> None:
    await push.send(to("warm"), PATIENT_S)
    server.faults.extend([SimulatedFault(Trouble.HANG), None, SimulatedFault(Trouble.GARBAGE)])
    assert isinstance(await push.send(to("a", "b", "c"), IMPATIENT_S), Accepted)


async def test_a_server_that_is_not_there_is_down(devices: Devices, account: str) -> None:
    async with FcmServer(account=account) as gone:
        fcm = Fcm(service_account(gone.service_account()), base_url=gone.url)
        push = PushNotifier(fcm, MessageWriter(FixedLinks(), lambda: NOW_MS), devices.prune, lambda: NOW_MS)
        assert isinstance(await push.send(to("phone"), PATIENT_S), Accepted)
    assert await push.send(to("phone"), PATIENT_S) == Retryable("no_connection", provider_down=True)
    await push.close()


async def test_without_an_access_token_nothing_is_sent(push: PushNotifier, server: FcmServer) -> None:
    server.refuses_tokens = True
    assert await push.send(to("phone"), PATIENT_S) == Retryable("auth", provider_down=True)
    assert not server.pushes
    server.refuses_tokens = False
    assert isinstance(await push.send(to("phone"), PATIENT_S), Accepted)


async def test_a_token_is_fetched_once_for_all_and_again_when_it_is_refused(
    push: PushNotifier, server: FcmServer
) -> None:
    await asyncio.gather(*(push.send(to(f"phone-{n}"), PATIENT_S) for n in range(20)))
    assert server.tokens_given == 1
    server.forget_access()
    assert await push.send(to("phone"), PATIENT_S) == Retryable("auth", provider_down=True)
    assert isinstance(await push.send(to("phone"), PATIENT_S), Accepted)
    assert server.tokens_given == 2


async def test_the_loop_goes_on_while_a_token_is_fetched(push: PushNotifier, server: FcmServer) -> None:
    """The server lives on this loop: a call that blocked it could never be answered."""
    assert isinstance(await push.send(to("phone"), PATIENT_S), Accepted)


@pytest.mark.parametrize("push", [20], indirect=True)
async def test_no_more_devices_are_told_than_one_call_takes(push: PushNotifier, server: FcmServer) -> None:
    await push.send(to(*(f"t{n}" for n in range(30))), PATIENT_S)
    assert len(server.pushes) == 20


async def test_a_contact_without_a_device_cannot_be_pushed_to(push: PushNotifier) -> None:
    assert await push.send(to(), PATIENT_S) == Permanent("no_address")
    assert await push.look_up(to("phone"), 1.0) == Unsure("no_look_up")


@pytest.mark.parametrize("language", AVAILABLE)
async def test_the_longest_message_is_within_the_limit(language: str) -> None:
    whom = contact(language=language, push_tokens=("x" * 200,))
    long_one = alert(silent=True, drill=True, pressed_ms=NOW_MS - 10**11)
    for purpose in Purpose:
        what = job(of=long_one, to=whom, purpose=purpose, driver_name="म" * 60)
        written = await MessageWriter(FixedLinks(), lambda: NOW_MS).write(what)
        encoded = messaging._MessagingService.encode_message(message_of(what, written, "x" * 200, NOW_MS))
        assert len(msgspec.json.encode(encoded)) <= MESSAGE_BYTES


def test_of_several_devices_the_best_counts() -> None:
    gone, no, later = Permanent("unregistered", prune=True), Permanent("apns_auth"), Retryable("http_503")
    open_one, yes = Unsure("timeout"), Accepted("1", "accepted")
    assert best_of([gone, no, later, open_one, yes]) == yes
    assert best_of([gone, no, later, open_one]) == open_one
    assert best_of([gone, no, later]) == later
    assert best_of([gone, no]) == no
    assert best_of([gone, gone]) == gone


# --- credentials


async def test_credentials_are_a_path_or_their_json(server: FcmServer, tmp_path: Path) -> None:
    text = server.service_account()
    path = tmp_path / "account.json"
    path.write_text(text)
    assert service_account(text) == service_account(str(path)) == json.loads(text)


@pytest.mark.parametrize("text", ["", "/nowhere.json", "{", "{}", '{"type": "service_account"}', "[]", "\0"])
def test_what_is_no_service_account_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"read|service account|JSON"):
        service_account(text)


async def test_a_broken_key_is_refused_without_being_quoted(server: FcmServer) -> None:
    account = json.loads(server.service_account()) | {"private_key": "very secret"}
    with pytest.raises(ValueError, match="private key") as refused:
        service_account(json.dumps(account))
    assert "very secret" not in str(refused.value)


# --- the names of firebase_admin that `alerts.notifiers.fcm` stands on


async def test_firebase_admin_still_has_the_names_that_are_replaced(server: FcmServer) -> None:
    fcm = Fcm(service_account(server.service_account()), base_url=server.url)
    service = messaging._get_messaging_service(fcm._app)
    assert service._async_client is fcm._client
    assert service._fcm_url == f"{server.url}/v1/projects/wayguard-demo/messages:send"
    assert isinstance(fcm._client, _http_client.HttpxAsyncClient)
    assert HttpxRetry(max_retries=0).is_exhausted() is False
    assert isinstance(fcm._client.async_client, httpx.AsyncClient)
    await fcm.close()


async def test_without_a_stand_in_it_goes_to_google(server: FcmServer) -> None:
    fcm = Fcm(service_account(server.service_account()))
    url = messaging._get_messaging_service(fcm._app)._fcm_url
    assert url == "https://fcm.googleapis.com/v1/projects/wayguard-demo/messages:send"
    await fcm.close()
