"""Webhooks: signed, bounded, and never to the inside."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.attempt import Accepted, Outcome, Permanent, Purpose, Retryable, Unsure
from alerts.notifiers.guarded import Forbidden, GuardedHttp, NotConnected, is_public, refusal_of_url
from alerts.notifiers.webhook import (
    WebhookNotifier,
    is_signed,
    retry_after_s,
    signature_of,
    webhook_secret,
)
from alerts.notifiers.writer import MessageWriter
from alerts.policy import OPERATOR
from alerts.ports import DeliveryJob
from realtime.outside.sink import Sink
from realtime.outside.web import SimulatedFault, Trouble
from tests.alerts.jobs import LINK, NOW_MS, FixedLinks, alert, contact, job

PATIENT_S = 20.0
IMPATIENT_S = 0.5


def secret_of(name: str) -> str:
    return f"secret of {name}"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink(secret_of, now_s=lambda: NOW_MS // 1000) as sink:
        yield sink


@pytest.fixture
async def http() -> AsyncIterator[GuardedHttp]:
    http = GuardedHttp(allow_private=True)
    yield http
    await http.close()


@pytest.fixture
async def strict() -> AsyncIterator[GuardedHttp]:
    http = GuardedHttp()
    yield http
    await http.close()


def notifier(http: GuardedHttp, name: str = "bob") -> WebhookNotifier:
    return WebhookNotifier(
        MessageWriter(FixedLinks(), lambda: NOW_MS), lambda job: secret_of(name), lambda: NOW_MS, http
    )


def to(url: str, **settings: Any) -> DeliveryJob:
    return job(to=contact(webhook_url=url), **settings)


async def test_a_webhook_tells_everything_and_is_signed(sink: Sink, http: GuardedHttp) -> None:
    assert await notifier(http).send(to(sink.hook_url("bob")), PATIENT_S) == Accepted(None, "200")
    (hook,) = sink.hooks
    assert hook.signed
    assert hook.delivery == hook.body["delivery"] == "00000000-0000-0000-0000-000000000004"
    assert hook.body["type"] == "alert"
    assert hook.body["alert"]["place"]["lat"] == 52.52
    assert hook.body["link"] == LINK
    assert "Ana Lopez has pressed SOS." in hook.body["text"]


async def test_duress_is_not_in_it(sink: Sink, http: GuardedHttp) -> None:
    for duress in (False, True):
        await notifier(http).send(to(sink.hook_url("bob"), of=alert(duress=duress)), PATIENT_S)
    first, second = sink.hooks
    assert first.body == second.body
    assert "duress" not in str(first.body)


async def test_a_wrong_secret_is_noticed(sink: Sink, http: GuardedHttp) -> None:
    outcome = await notifier(http, "mallory").send(to(sink.hook_url("bob")), PATIENT_S)
    assert outcome == Permanent("http_401")
    assert not sink.hooks[0].signed


async def test_a_code_by_webhook_tells_nothing_of_an_alert(sink: Sink, http: GuardedHttp) -> None:
    await notifier(http).send(to(sink.hook_url("bob"), purpose=Purpose.CODE, of=alert(message="482913")), 9)
    assert "alert" not in sink.hooks[0].body
    assert "482913" in sink.hooks[0].body["text"]


@pytest.mark.parametrize(
    ("fault", "outcome", "arrived"),
    [
        (SimulatedFault(Trouble.STATUS, 500), Retryable("http_500", provider_down=True), 0),
        (SimulatedFault(Trouble.STATUS, 503, "7"), Retryable("http_503", 7.0, provider_down=True), 0),
        (SimulatedFault(Trouble.STATUS, 429), Retryable("http_429", provider_down=True), 0),
        (SimulatedFault(Trouble.STATUS, 429, "30"), Retryable("http_429", 30.0, provider_down=True), 0),
        (SimulatedFault(Trouble.STATUS, 404), Permanent("http_404"), 0),
        (SimulatedFault(Trouble.STATUS, 410), Permanent("http_410"), 0),
        (SimulatedFault(Trouble.DROP), Unsure("connection_lost"), 0),
        (SimulatedFault(Trouble.LOSE_REPLY), Unsure("connection_lost"), 1),
        (SimulatedFault(Trouble.GARBAGE), Accepted(None, "200"), 1),
    ],
)
async def test_each_answer_is_what_it_means(
    sink: Sink, http: GuardedHttp, fault: SimulatedFault, outcome: Outcome, arrived: int
) -> None:
    sink.fault = fault
    assert await notifier(http).send(to(sink.hook_url("bob")), PATIENT_S) == outcome
    assert len(sink.hooks) == arrived


@pytest.mark.parametrize("trouble", [Trouble.HANG, Trouble.HANG_AFTER])
async def test_silence_leaves_it_open(sink: Sink, http: GuardedHttp, trouble: Trouble) -> None:
    sink.fault = SimulatedFault(trouble)
    assert await notifier(http).send(to(sink.hook_url("bob")), IMPATIENT_S) == Unsure("timeout")


async def test_an_address_where_nobody_listens_was_surely_not_told(http: GuardedHttp) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outcome = await notifier(http).send(to(f"http://127.0.0.1:{port}/"), PATIENT_S)
    assert outcome == Retryable("no_connection", provider_down=True)


async def test_a_redirect_is_not_followed(sink: Sink, http: GuardedHttp) -> None:
    sink.elsewhere = sink.hook_url("bob")
    assert await notifier(http).send(to(f"{sink.url}/away"), PATIENT_S) == Permanent("http_307")
    assert not sink.hooks


async def test_an_endless_answer_is_not_read_to_its_end(http: GuardedHttp) -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                sent += 65_536
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        assert await notifier(http).send(to(f"http://127.0.0.1:{port}/"), PATIENT_S) == Accepted(None, "200")
    finally:
        server.close()
    assert sent < 64 * 1024 * 1024


async def test_only_the_operator_may_be_inside(sink: Sink, http: GuardedHttp, strict: GuardedHttp) -> None:
    writer = MessageWriter(FixedLinks(), lambda: NOW_MS)
    one = WebhookNotifier(writer, lambda job: secret_of("bob"), lambda: NOW_MS, strict, http)
    url = sink.hook_url("bob")
    operator = job(to=contact(contact_id=OPERATOR, webhook_url=url))
    assert await one.send(operator, PATIENT_S) == Accepted(None, "200")
    assert await one.send(to(url), PATIENT_S) == Permanent("not_https")
    assert await one.send(to("https://127.0.0.1/"), PATIENT_S) == Permanent("forbidden_address")
    assert len(sink.hooks) == 1


async def test_without_an_address_nothing_is_tried(http: GuardedHttp) -> None:
    assert await notifier(http).send(job(to=contact(webhook_url=None)), 1.0) == Permanent("no_address")


# --- the inside


INSIDE = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2001:0:7f00:1::", "fec0::1", "::127.0.0.1", "2130706433", "127.1", "localhost", ""),
]


@pytest.mark.parametrize("address", INSIDE)
def test_the_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_whatever_is_public_is_global(address: Any) -> None:
    assert not is_public(str(address)) or address.is_global or address.version == 6


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://example.org/",
            "ftp://example.org/",
            "https://",
            "https:///x",
            "//example.org",
            "example.org",
            "",
        ),
        *("https://user:pass@example.org/", "https://example.org:0/", "https://example.org:99999/"),
        *(
            "https://exa mple.org/",
            "https://example.org/\r\nX: y",
            "https://example.org/\x00",
            "file:///etc/passwd",
        ),
        *("https://127.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://2130706433/"),
        *("https://0/", "https://localhost/", "https://a.localhost/", "https://metadata.google.internal/"),
        *("https://169.254.169.254/latest/meta-data", "https://10.0.0.1:8443/", "https://x/" + "a" * 2_000),
    ],
)
async def test_such_an_address_is_refused_before_anybody_is_asked(strict: GuardedHttp, url: str) -> None:
    assert refusal_of_url(url) is not None
    with pytest.raises(Forbidden):
        await strict.post(url, b"", {}, 1.0)


def test_an_ordinary_address_is_not_refused() -> None:
    assert refusal_of_url("https://hooks.example.org:8443/in?x=1") is None


def at(address: str, port: int) -> list[tuple[Any, ...]]:
    """What `socket.getaddrinfo` says of a name with this address."""
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]


async def test_a_name_that_means_the_inside_is_refused_when_it_is_connected(sink: Sink) -> None:
    answers = iter(["93.184.216.34", "127.0.0.1"])
    strict = GuardedHttp(get_addresses=lambda *_, **__: at(next(answers), sink.port))
    next(answers)  # whoever checked the name beforehand saw a public address
    try:
        outcome = await notifier(strict).send(to("https://rebound.example.org/hooks/bob"), PATIENT_S)
    finally:
        await strict.close()
    assert outcome == Permanent("forbidden_address")
    assert not sink.calls


async def test_a_name_server_that_never_answers_holds_back_no_other_name_and_no_thread_of_the_loop(
    sink: Sink,
) -> None:
    """The loop has six threads of its own on two cores: tokens and PINs are checked on them."""
    answered, asked = threading.Event(), Counter[str]()

    def look_up(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked[host] += 1
        if host.startswith("hangs"):
            answered.wait(60.0)
        return at("127.0.0.1", sink.port)

    http = GuardedHttp(allow_private=True, get_addresses=look_up)
    asking = [
        asyncio.ensure_future(http.post(f"http://hangs{n % 40}.example/", b"", {}, IMPATIENT_S))
        for n in range(80)
    ]
    try:
        await asyncio.sleep(0)
        url = f"http://well.example:{sink.port}/hooks/bob"
        assert (await notifier(http).send(to(url), PATIENT_S)) == Accepted(None, "200")
        async with asyncio.timeout(PATIENT_S):
            assert await asyncio.to_thread(lambda: 7) == 7
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert {(type(one), str(one)) for one in outcomes} == {(NotConnected, "timeout")}
        assert set(asked.values()) == {1}, "calls for one name share its look-up"
    finally:
        answered.set()
        await http.close()


async def test_a_name_that_does_not_exist_was_surely_not_told() -> None:
    def look_up(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    http = GuardedHttp(get_addresses=look_up)
    try:
        outcome = await notifier(http).send(to("https://gone.example/hook"), PATIENT_S)
    finally:
        await http.close()
    assert outcome == Retryable("no_connection", provider_down=True)


# --- signatures


@given(body=st.binary(max_size=200), at_s=st.integers(0, 2**33), flip=st.integers(0, 10**6))
def test_a_signature_is_of_this_body_at_this_time(body: bytes, at_s: int, flip: int) -> None:
    header = signature_of("secret", body, at_s)
    assert is_signed("secret", body, header, at_s)
    assert not is_signed("other", body, header, at_s)
    assert not is_signed("secret", body + b"x", header, at_s)
    assert not is_signed("secret", body, header, at_s + 301)
    place = flip % len(header)
    changed = header[:place] + chr(ord(header[place]) ^ 1) + header[place + 1 :]
    assert not is_signed("secret", body, changed, at_s)


@given(st.text(max_size=100))
def test_nonsense_is_no_signature(header: str) -> None:
    assert not is_signed("secret", b"", header, 0)


def test_every_contact_has_a_secret_of_its_own() -> None:
    made = {webhook_secret(s, t, c) for s in ("a" * 32, "b" * 32) for t in ("t", "u") for c in ("1", "2")}
    assert len(made) == 8
    assert webhook_secret("a", "t", "1") == webhook_secret("a", "t", "1")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(
            (None, None),
            ("", None),
            ("12", 12.0),
            (" 3 ", 3.0),
            ("-1", None),
            ("soon", None),
            ("99999999", 3_600.0),
        ),
        ("Mon, 24 Nov 2025 16:00:30 GMT", 30.0),
        ("Mon, 24 Nov 2025 15:00:30 GMT", 0.0),
        ("Mon, 99 Nov 2025 15:00:30 GMT", None),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW_MS) == seconds
