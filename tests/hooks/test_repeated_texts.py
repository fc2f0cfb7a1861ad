"""Texts that come again or together, on two workers, with Postgres and Redis available or not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import OPEN, Acknowledged, State
from alerts.attempt import Channel
from alerts.case import Case
from alerts.notifiers.twilio_hooks import Named
from alerts.policy import Contact, Policy, PolicyCopy, Step
from alerts.ports import Applied, StorageUnavailable
from alerts.words.language import AVAILABLE
from realtime.alerting.replies.bindings import BINDINGS, ReplyBindings, ReplyFile
from realtime.alerting.replies.repository import LOCK_WAIT_S, ReplyRepository
from realtime.hooks.desk import CallbackService
from realtime.hooks.words import TEXTS, said
from realtime.redis.client import client
from realtime.store.people.replies import LastMessage
from tests.alerts.kit import T0, S, alert

T = TypeVar("T")
PHONE = "+525512345678"
DOWN_URL = "redis://127.0.0.1:1/0"
COPY = PolicyCopy(
    Policy((Step(("ana",), (Channel.SMS,), 60),)), (Contact("ana", "Ana", phone=PHONE, language="es"),)
)


class Alerts:
    """The alerts that every worker has a replica of: two of two drivers, and what was applied to them."""

    def __init__(self) -> None:
        ids = UUID(int=1), UUID(int=2)
        self.cases = {
            one: Case(replace(alert(), alert_id=one, driver=f"d{one.int}", state=State.ACTIVE), COPY, {})
            for one in ids
        }
        self.applied: list[tuple[UUID, Any]] = []
        self.pause_s = 0.0
        self.broken = False

    async def case(self, alert_id: UUID) -> Case | None:
        return self.cases.get(alert_id)

    async def apply(self, tenant: str, alert_id: UUID, event: Any) -> Applied | None:
        await asyncio.sleep(self.pause_s)
        self.applied.append((alert_id, event))
        changes = cases.applied(self.cases[alert_id], event, T0 + 5 * S)
        self.cases[alert_id] = changes.case
        if self.broken:
            raise RuntimeError("the worker ends before it has answered")
        return Applied(changes.case.alert, changes.refused)

    async def report(self, report: Any) -> bool:
        return True

    async def answered(self, attempt_id: UUID) -> None:
        return

    @property
    def acknowledged(self) -> list[int]:
        return [one.int for one, event in self.applied if isinstance(event, Acknowledged)]

    def all(self) -> list[Any]:
        return []

    def last_asked(self, phone: str) -> list[LastMessage]:
        """The part of `realtime.alerting.ports.Copies` that the store of replies uses."""
        return [
            LastMessage(one, UUID(int=one.int + 100), "ana", T0 + one.int * S)
            for one, case in self.cases.items()
            if case.alert.state in OPEN
        ]


class Postgres:
    """`realtime.store.people.replies.ReplyStore` and the guard before it."""

    def __init__(self) -> None:
        self.is_up = False
        self.known: set[str] = set()
        self.out: set[str] = set()
        self.locks: dict[str, str] = {}

    async def ask_in_turn(self, work: Callable[[], Awaitable[T]], within_s: float) -> T:
        if not self.is_up:
            raise StorageUnavailable
        return await work()

    async def last_asked(self, phone: str) -> list[LastMessage]:
        return []

    async def is_known(self, answer_id: str) -> bool:
        return answer_id in self.known

    async def keep(self, answer_id: str) -> None:
        self.known.add(answer_id)

    async def opt_out(self, phone: str) -> int:
        changed = phone not in self.out
        self.out.add(phone)
        return int(changed)

    async def opt_in(self, phone: str) -> int:
        changed = phone in self.out
        self.out.discard(phone)
        return int(changed)

    async def lock(self, name: str, holder: str, lease_ms: int) -> bool:
        return self.locks.setdefault(name, holder) == holder

    async def unlock(self, name: str, holder: str) -> None:
        if self.locks.get(name) == holder:
            del self.locks[name]


class Directory:
    """What numbers said while Postgres is unavailable, and the languages of contacts."""

    def __init__(self, language: str | None = "es") -> None:
        self.said: list[tuple[str, bool]] = []
        self.language = language

    async def say(self, phone: str, *, out: bool) -> None:
        self.said.append((phone, out))

    def language_of(self, phone: str) -> str | None:
        return self.language


class Workers:
    """Makes workers that share alerts, Postgres and a Redis."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self.redis_url = redis_url
        self.folder = folder
        self.alerts = Alerts()
        self.postgres = Postgres()
        self.directory = Directory()
        self.clients: list[Any] = []
        self.lock_wait_s = LOCK_WAIT_S

    async def start(self, name: str, redis_url: str | None = None) -> CallbackService:
        """A worker; a second one of the same name is the first one's restart."""
        redis = client(redis_url or self.redis_url, timeout_s=1.0, max_connections=8)
        self.clients.append(redis)
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        file = ReplyFile(folder, bytes(32), lambda: T0)
        await file.open()
        bindings = ReplyBindings(redis, file, bytes(32), lambda: T0)
        given: Any = (self.postgres, self.postgres, self.alerts, self.alerts, self.directory, bindings)
        alerts: Any = self.alerts
        return CallbackService(
            alerts, alerts, ReplyRepository(*given, lock_wait_s=self.lock_wait_s), lambda: T0
        )


def text(number: int, body: str = "1", **more: str) -> dict[str, str]:
    return {"From": PHONE, "Body": body, "MessageSid": f"SM{number:032x}"} | more


@pytest.fixture
async def workers(redis_url: str, tmp_path: Path) -> AsyncIterator[Workers]:
    made = Workers(redis_url, tmp_path)
    yield made
    for redis in made.clients:
        await redis.aclose()


# --- the same text again


@pytest.mark.parametrize("second", ["one", "two"])
async def test_a_repeat_without_postgres_is_for_the_alert_of_the_first_delivery(
    workers: Workers, second: str
) -> None:
    await (await workers.start("one")).text(text(1))
    again = await (await workers.start(second)).text(text(1))
    assert again.outcome == "replayed"
    assert workers.alerts.acknowledged == [2], "the other driver's alert has no acknowledgement"


async def test_a_repeat_after_a_restart_without_postgres_and_redis_is_known(workers: Workers) -> None:
    await (await workers.start("one", DOWN_URL)).text(text(1))
    again = await (await workers.start("one", DOWN_URL)).text(text(1))
    assert again.outcome == "replayed" and workers.alerts.acknowledged == [2]


@pytest.mark.parametrize("second", ["one", "two"])
async def test_a_repeat_of_a_text_that_was_applied_and_not_answered_has_the_same_alert(
    workers: Workers, second: str
) -> None:
    workers.alerts.broken = True
    with pytest.raises(RuntimeError):
        await (await workers.start("one")).text(text(1))
    workers.alerts.broken = False
    again = await (await workers.start(second)).text(text(1))
    assert workers.alerts.acknowledged == [2, 2]
    assert again.outcome == "taken" and "d2" in again.text
    other = await (await workers.start("two")).text(text(2))
    assert workers.alerts.acknowledged == [2, 2, 1] and "d1" in other.text


async def test_the_same_text_on_two_workers_at_once_has_one_alert(workers: Workers) -> None:
    one, two = await workers.start("one"), await workers.start("two")
    workers.alerts.pause_s = 0.1
    await asyncio.gather(one.text(text(1)), two.text(text(1)))
    assert set(workers.alerts.acknowledged) == {2}


async def test_a_binding_in_redis_expires_and_names_neither_phone_nor_text(workers: Workers) -> None:
    await (await workers.start("one")).text(text(1, "on my way"))
    redis = workers.clients[0]
    names = [name async for name in redis.scan_iter(f"{BINDINGS}*")]
    assert len(names) == 1 and 0 < await redis.ttl(names[0]) <= 86_400
    assert PHONE.encode() not in names[0] + await redis.get(names[0])


async def test_a_file_of_bindings_that_cannot_be_read_counts_as_none(workers: Workers) -> None:
    await (await workers.start("one", DOWN_URL)).text(text(1))
    (workers.folder / "one" / "replies").write_bytes(b"no file of ours")
    assert (await (await workers.start("one", DOWN_URL)).text(text(2))).outcome == "taken"


async def test_a_key_pressed_again_on_another_worker_is_for_the_alert_of_its_call(workers: Workers) -> None:
    case = workers.alerts.cases[UUID(int=1)]
    attempt: Any = object()
    workers.alerts.cases[UUID(int=1)] = replace(case, attempts={UUID(int=101): attempt})
    workers.alerts.apply = _no_change(workers.alerts)  # type: ignore[method-assign]
    named = Named(UUID(int=101), UUID(int=1), "ana")
    await (await workers.start("one")).key(named, "CA" + "1" * 32, "1")
    again = await (await workers.start("two")).key(named, "CA" + "1" * 32, "1")
    assert again.outcome == "replayed" and workers.alerts.acknowledged == [1]


def _no_change(alerts: Alerts) -> Any:
    async def apply(tenant: str, alert_id: UUID, event: Any) -> Applied:
        alerts.applied.append((alert_id, event))
        return Applied(alerts.cases[alert_id].alert, None)

    return apply


# --- two texts at once


@pytest.mark.parametrize(("postgres", "redis"), [(False, True), (True, False), (True, True)])
async def test_two_texts_on_two_workers_at_once_are_for_two_alerts(
    workers: Workers, postgres: bool, redis: bool
) -> None:
    workers.postgres.is_up = postgres
    url = None if redis else DOWN_URL
    one, two = await workers.start("one", url), await workers.start("two", url)
    workers.alerts.pause_s = 0.1
    await asyncio.gather(one.text(text(1)), two.text(text(2)))
    assert sorted(workers.alerts.acknowledged) == [1, 2]
    assert workers.postgres.locks == {}


async def test_a_lock_that_its_worker_left_behind_delays_a_text_and_does_not_lose_it(
    workers: Workers,
) -> None:
    workers.lock_wait_s = 0.3
    one = await workers.start("one")
    workers.postgres.is_up = True
    async with one._book.ordered(PHONE):
        assert (await (await workers.start("two")).text(text(1))).outcome == "taken"
    assert workers.alerts.acknowledged == [2]


# --- START and YES


async def test_yes_that_the_carrier_took_for_start_acknowledges_nothing_without_postgres(
    workers: Workers,
) -> None:
    reply = await (await workers.start("one")).text(text(1, "YES", OptOutType="START"))
    assert workers.alerts.acknowledged == [] and workers.directory.said == [(PHONE, False)]
    assert reply.text.startswith("Para decir que se encarga de d2"), "how to acknowledge"


async def test_yes_without_a_carriers_word_acknowledges_without_postgres(workers: Workers) -> None:
    await (await workers.start("one")).text(text(1, "YES"))
    assert workers.alerts.acknowledged == [2] and workers.directory.said == []


@pytest.mark.parametrize(("was_out", "acknowledged"), [(True, []), (False, [2])])
async def test_yes_as_start_acknowledges_only_when_postgres_has_no_opt_out(
    workers: Workers, was_out: bool, acknowledged: list[int]
) -> None:
    workers.postgres.is_up = True
    workers.postgres.out = {PHONE} if was_out else set()
    await (await workers.start("one")).text(text(1, "YES", OptOutType="START"))
    assert workers.alerts.acknowledged == acknowledged


# --- our own confirmation


@pytest.mark.parametrize("body", ["remove", "baja", "Pare", "sair", "stopp", "please stop", "बंद करो"])
@pytest.mark.parametrize("is_up", [True, False])
async def test_a_stop_word_that_is_not_the_carriers_is_confirmed(
    workers: Workers, body: str, is_up: bool
) -> None:
    workers.postgres.is_up = is_up
    reply = await (await workers.start("one")).text(text(1, body))
    assert reply.text == said("stopped", "es") and "START" in reply.text
    assert workers.alerts.acknowledged == []


@pytest.mark.parametrize(
    "body", ["STOP", "stopall", " Unsubscribe ", "CANCEL", "end", "QUIT", "REVOKE", "OPTOUT"]
)
async def test_a_stop_word_of_the_carriers_is_answered_by_them_alone(workers: Workers, body: str) -> None:
    assert (await (await workers.start("one")).text(text(1, body))).text == ""


@pytest.mark.parametrize("word", ["STOP", "START"])
@pytest.mark.parametrize("body", ["baja", "subscribe"])
async def test_what_the_carrier_has_answered_is_not_answered_again(
    workers: Workers, body: str, word: str
) -> None:
    assert (await (await workers.start("one")).text(text(1, body, OptOutType=word))).text == ""


async def test_a_start_word_that_is_not_the_carriers_is_confirmed(workers: Workers) -> None:
    desk = await workers.start("one")
    assert (await desk.text(text(1, "subscribe"))).text == said("started", "es")
    assert (await desk.text(text(2, "START"))).text == ""


async def test_a_number_of_no_contact_is_answered_in_english(workers: Workers) -> None:
    workers.directory.language = None
    workers.alerts.cases.clear()
    assert (await (await workers.start("one")).text(text(1, "remove"))).text == said("stopped", "en")


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_every_language_has_every_reply_with_its_words(language: str) -> None:
    assert TEXTS[language].keys() == TEXTS["en"].keys()
    for what, reply in TEXTS[language].items():
        assert ("{driver}" in reply) == ("{driver}" in TEXTS["en"][what]), what
    assert "START" in TEXTS[language]["stopped"] and "STOP" in TEXTS[language]["started"]


def test_replies_exist_in_every_language_of_the_messages() -> None:
    assert set(TEXTS) == set(AVAILABLE)
