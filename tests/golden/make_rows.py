"""Makes the golden rows of Postgres: alerts in every state, their events, messages and presses, and timers.

Made with release 9ecb5eb as `tests.golden.make`, and not run again. Postgres' clock is set by the story, ids
are fixed and chance is 0.5, so that the rows are the same each time. ``changed_by`` of alerts is left out: it
is a number of a transaction of that database.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from alerts import pin, timers
from alerts.alert import (
    Acknowledged,
    Actor,
    ActorKind,
    CancelAsked,
    ContactsFound,
    Denied,
    FalseAlarm,
    Heard,
    Kind,
    Noted,
    PinResult,
    Place,
    Press,
    Resolved,
    Responder,
    ResponderAdded,
    as_shown_to_driver,
)
from alerts.attempt import Accepted, Channel, Permanent, Retryable, Status, StatusReport, Unsure
from alerts.events import Moved
from alerts.policy import ALL, DISPATCH, OPERATOR, Circumstances, Contact, Policy, Source, Step
from alerts.timers import Spec, TimerKind, TimerState
from tests.alerts.slots import UpTo
from tests.api.harness import Api, running
from tests.databases import TEMPLATE, at_database
from tests.engines_fixtures import OWNER, QUICK, EmbeddedPostgres, as_admin, engine_folder, in_thread
from tests.golden import names
from tests.golden.make import FOLDER, NOW_MS, SECRET

TENANT: Final = "t1"
VENDOR: Final = "north"
TABLES: Final = (
    "tenants", "vendors", "drivers", "contacts", "alert_policies", "driver_safety", "devices", "opt_outs",
    "alerts", "alert_presses", "alert_attempts", "alert_events", "early_reports", "safety_timers",
)  # fmt: skip
LEFT_OUT: Final = {"alerts": {"changed_by"}}
C = Channel
ANA_ID: Final = "0190a000-0000-7000-8000-0000000000c1"
BEN_ID: Final = "0190a000-0000-7000-8000-0000000000c2"
JOURNEY: Final = UUID("0190a000-0000-7000-8000-0000000000f1")
ANA = Contact(ANA_ID, "Ana Ñ", "es", "+41790000001", "ana@example.org", None, ("push-1",), "Europe/Madrid")
BEN = Contact(BEN_ID, "Ben", phone="+41790000002", webhook_url="https://ben.example.org/hook")
DESK = Contact(OPERATOR, "Desk", phone="+41790000009", webhook_url="https://desk.example.org")
DISPATCHERS = Contact(DISPATCH, "dispatch", push_tokens=("push-2",))
PEOPLE = (DISPATCHERS, ANA, BEN, DESK)
POLICY = Policy(
    steps=(
        Step((DISPATCH, ANA_ID), (C.SOCKET, C.PUSH, C.SMS), 60, fallback=(C.CALL,)),
        Step((ALL,), (C.CALL, C.EMAIL, C.WEBHOOK), 60),
    ),
    loops=1,
    ack_silence_s=900,
)
COUNTED = replace(POLICY, countdown_s=30)
PINS = pin.pins_of("1234", "4321", (bytes(16), bytes(range(16))))
KNOWN = Circumstances(dict.fromkeys(Kind, POLICY), PEOPLE, PINS, "Dee", "pt")
COUNTING = replace(KNOWN, policies=dict.fromkeys(Kind, COUNTED))
LOCAL = replace(KNOWN, contacts=(DISPATCHERS, DESK), source=Source.LOCAL_COPY, age_ms=61_000)
OLGA = Actor(ActorKind.OPERATOR, "olga", "Olga")
BY_ANA = Actor(ActorKind.CONTACT, ANA_ID, "Ana Ñ")
BY_BEN = Actor(ActorKind.CONTACT, BEN_ID, "Ben")


async def set_clock(url: str, now_ms: int) -> None:
    """Let the clock of the database at ``url`` stand at ``now_ms``."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "CREATE OR REPLACE FUNCTION now_ms() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE "
            f"RETURN {now_ms}::bigint"
        )
    finally:
        await connection.close()


class Story:
    """A ledger on a database whose clock stands still between two calls of `later`."""

    def __init__(self, url: str, db: Any) -> None:
        self._url = url
        self.db = db
        self.ledger = names.PostgresLedger(db, lambda: 0.5)
        self.now_ms = NOW_MS
        self._presses = 0

    async def later(self, ms: int) -> None:
        """Set the clock ``ms`` ahead."""
        self.now_ms += ms
        await set_clock(self._url, self.now_ms)

    async def press(self, driver: str, known: Circumstances = KNOWN, **changes: Any) -> UUID:
        """Press; the id of the alert that it went into."""
        self._presses += 1
        press = Press(
            tenant=TENANT, vendor=VENDOR, driver=driver, sos_id=UUID(int=self._presses + (4 << 76)),
            kind=Kind.SOS, received_ms=self.now_ms, pressed_ms=self.now_ms - 250, source="http",
            place=Place(53.4, -2.9, 12.0, self.now_ms, 64.0, "phone", None, JOURNEY, 7),
        )  # fmt: skip
        return (await self.ledger.press(replace(press, **changes), known)).alert.alert_id

    async def apply(self, alert_id: UUID, *events: Any) -> None:
        """Apply events, some of which are refused."""
        for event in events:
            assert await self.ledger.apply(alert_id, event) is not None

    async def send(self, *outcomes: Any, only: UUID) -> list[Any]:
        """Claim what is due of one alert and record ``outcomes`` in turn, the last for all that are left."""
        jobs = await self.ledger.claim("w1", UpTo(tuple(Channel), 1_000), 30.0)
        mine = sorted(
            (j for j in jobs if j.attempt.alert_id == only), key=lambda j: str(j.attempt.attempt_id)
        )
        assert mine
        for number, job in enumerate(mine):
            outcome = outcomes[min(number, len(outcomes) - 1)]
            if isinstance(outcome, Accepted):
                outcome = replace(outcome, provider_id=f"SM{job.attempt.attempt_id.hex}")
            sent = replace(job, attempt=replace(job.attempt, provider="twilio"))
            await self.ledger.settle(sent, outcome)
        return mine

    async def escalate(self) -> None:
        """Escalate all alerts whose time has come."""
        while await self.ledger.advance(50):
            pass


ACCEPTED: Final = Accepted(None, "queued")


async def tell(story: Story) -> None:
    """What happens to the drivers of this tenant, one after another by the same clock."""
    await story.later(0)
    await _messages(story)
    await _exhausted(story)
    await _helped(story)
    await _with_pins(story)
    await _raised_by_others(story)
    await _timers(story)
    await _open(story)


async def _messages(story: Story) -> None:
    """Each outcome of a message, and each report of it."""
    alert_id = await story.press("d-messages", message="help \\u0065 é '; --", silent=True)
    outcomes = (
        ACCEPTED, Retryable("busy", 30.0), Permanent("bad_number"), Unsure("timeout"),
        replace(ACCEPTED, delivered=True),
    )  # fmt: skip
    sent = await story.send(*outcomes, only=alert_id)
    assert len(sent) >= 4
    report = StatusReport("twilio", f"SM{sent[0].attempt.attempt_id.hex}", Status.DELIVERED, "delivered")
    await story.later(5_000)
    assert await story.ledger.report(report)
    await story.later(60_000)
    await story.escalate()
    for_calls = await story.send(
        ACCEPTED, Unsure("timeout", repeat=True), Permanent("gone", prune=True), only=alert_id
    )
    failed = f"SM{for_calls[0].attempt.attempt_id.hex}"
    assert await story.ledger.report(StatusReport("twilio", failed, Status.FAILED, "30003", "unreachable"))
    await story.later(40_000)
    again = await story.send(ACCEPTED, only=alert_id)
    answered = [*sent, *for_calls, *again][0].attempt.attempt_id
    await story.ledger.answered(answered)
    early = StatusReport("twilio", "SMunknown", Status.DELIVERED, "delivered", None)
    assert not await story.ledger.report(early)


async def _exhausted(story: Story) -> None:
    """The policy is exhausted; a press, and contacts that Postgres has, begin it again."""
    revived = await story.press("d-revived")
    found = await story.press("d-found", LOCAL)
    left = await story.press("d-exhausted", kind=Kind.CRASH)
    for _ in range(6):
        await story.later(61_000)
        await story.escalate()
    await story.press("d-revived")
    await story.apply(found, ContactsFound())
    await story.apply(left, Noted(OLGA, "Nobody answers"))
    await story.apply(revived, Noted(OLGA, "Again"))


async def _helped(story: Story) -> None:
    """Acknowledged, joined, silent, resolved, a false alarm."""
    helped = await story.press("d-helped", journey_id=JOURNEY)
    await story.send(ACCEPTED, only=helped)
    await story.apply(
        helped,
        Denied(BY_BEN, "acknowledged"),
        Acknowledged(BY_ANA, "link"),
        Acknowledged(BY_BEN, "keypress"),
        ResponderAdded(BY_BEN, Responder(BY_BEN, story.now_ms, 600)),
        Heard(BY_ANA),
        Noted(BY_ANA, "on my way"),
        Moved(Place(53.5, -2.91, 5.0, story.now_ms + 1, source="live")),
    )
    silent = await story.press("d-silent")
    await story.apply(silent, Acknowledged(OLGA, "page"))
    await story.later(600_500)
    await story.escalate()
    await story.apply(helped, Heard(BY_ANA))
    await story.later(300_500)
    await story.escalate()
    await story.apply(silent, Acknowledged(BY_ANA, "sms"))
    resolved = await story.press("d-resolved")
    await story.send(ACCEPTED, only=resolved)
    await story.apply(resolved, Acknowledged(OLGA, "api"), Resolved(OLGA, "found her"), Noted(OLGA, "closed"))
    alarm = await story.press("d-false-alarm", kind=Kind.FALL)
    await story.send(ACCEPTED, only=alarm)
    await story.apply(
        alarm, Acknowledged(BY_ANA, "sms"), FalseAlarm(BY_ANA, "dropped the phone"), Heard(BY_ANA)
    )


async def _with_pins(story: Story) -> None:
    """PINs: the right one, wrong ones, that under duress."""
    wrong = CancelAsked(Actor(ActorKind.DRIVER, "x"), PinResult.WRONG)
    right, duress = replace(wrong, pin=PinResult.RIGHT), replace(wrong, pin=PinResult.DURESS)
    cancelled = await story.press("d-cancelled")
    await story.send(ACCEPTED, only=cancelled)
    await story.apply(cancelled, wrong, right)
    unheard = await story.press("d-unheard", COUNTING)
    await story.apply(unheard, right)
    guessed = await story.press("d-guessed", COUNTING)
    await story.apply(guessed, *[wrong] * 6)
    over = await story.press("d-over", COUNTING)
    await story.later(31_000)
    await story.escalate()
    masked = await story.press("d-masked", message="first")
    await story.apply(masked, duress)
    lifted = await story.press("d-lifted")
    await story.apply(lifted, duress)
    again = await story.press("d-again")
    await story.apply(again, duress)
    await story.later(1_000)
    for driver in ("d-lifted", "d-again"):
        await story.press(driver, message="second")
    await story.apply(again, right)
    await story.apply(over, Noted(OLGA, "counted down"))


async def _raised_by_others(story: Story) -> None:
    """A dispatcher presses, for one driver alone; a worse press joins; a drill beside a real alert."""
    by = {"by": OLGA, "source": "dispatcher", "place": None}
    await story.press("d-dispatched", **by)
    await story.press("d-dispatched-and-driver", **by)
    await story.press("d-dispatched-and-driver", noted=("place",), said_place=Place(1.0, 2.0))
    await story.press("d-worse", kind=Kind.SIGNAL_LOST, source="timer", place=None)
    await story.press("d-worse", source="socket")
    await story.press("d-drill", drill=True)
    await story.press("d-drill")


async def _timers(story: Story) -> None:
    """Timers of each kind, in each state; one fires."""
    armed = {}
    for number, (driver, kind, state) in enumerate(TIMERS):
        await names.connect_driver(story.db, TENANT, VENDOR, driver)
        by_ms = story.now_ms + 600_000 if kind is TimerKind.ARRIVE_BY else None
        every_s = None if by_ms else (60 if state is TimerState.FIRED else 1_200)
        spec = Spec(kind, UUID(int=number + (4 << 76) + 900), by_ms, every_s, 5, None, number == 0)
        by = OLGA if number % 2 else timers.driver_actor(driver)
        armed[number] = await names.timer_rows.arm(story.db, TENANT, VENDOR, driver, spec, by)
        if state is TimerState.DONE:
            await names.timer_rows.arrive(story.db, TENANT, driver)
        elif state is TimerState.CANCELLED:
            await names.timer_rows.cancel(story.db, TENANT, driver, armed[number].timer_id, by)
        elif state is TimerState.HELD:
            async with story.db.writer() as connection:
                held = timers.held(armed[number], story.now_ms + 300_000, story.now_ms)
                await names.timer_rows.put(connection, [held])
    async with story.db.writer() as connection:
        dismissed = timers.dismissed(armed[len(TIMERS) - 1], OLGA, story.now_ms)
        await names.timer_rows.put(connection, [dismissed])
    await story.later(66_000)
    assert await names.TimerScheduler(story.db, names.Settings()).round() == 1


TIMERS: Final = (
    ("d-timer", TimerKind.CHECK_IN, TimerState.FIRED),
    ("d-timer-2", TimerKind.ARRIVE_BY, TimerState.ARMED),
    ("d-timer-3", TimerKind.ARRIVE_BY, TimerState.DONE),
    ("d-timer-4", TimerKind.CHECK_IN, TimerState.CANCELLED),
    ("d-timer-5", TimerKind.SIGNAL_LOST, TimerState.HELD),
    ("d-timer-6", TimerKind.SIGNAL_LOST, TimerState.ARMED),
)


async def _open(story: Story) -> None:
    """What a worker finds: counting down, due, and leased to a process."""
    await story.press("d-active", place=Place(53.4, -2.9), kind=Kind.ARRIVE_BY_MISSED, source="timer")
    leased = await story.press("d-leased")
    assert await story.ledger.claim("w-lost", UpTo((Channel.SMS,), 1_000), 30.0)
    unsure = await story.press("d-unsure")
    await story.send(replace(ACCEPTED, delivered=True), Unsure("timeout"), only=unsure)
    await story.press("d-pending", COUNTING)
    await story.apply(leased, Noted(OLGA, ""))


async def _people(story: Story) -> None:
    """Contacts, policies, PINs and devices, as they are stored."""
    db = story.db
    await names.connect_driver(db, TENANT, VENDOR, "d-people")
    await names.driver_settings.describe(db, TENANT, "d-people", "Dee", "pt")
    await names.driver_settings.set_pins(db, TENANT, "d-people", PINS)
    insert = (
        "INSERT INTO contacts (contact_id, tenant_id, driver_id, name, language, time_zone, position, phone, "
        "email, webhook_url, phone_verified_ms, email_verified_ms, created_by) "
        "VALUES ($1, $2, 'd-people', $3, $4, $5, $6, $7, $8, $9, 1, 1, 'olga')"
    )
    async with db.writer() as connection:
        for position, one in enumerate((ANA, BEN)):
            await connection.execute(
                insert, UUID(one.contact_id), TENANT, one.name, one.language, one.time_zone, position,
                one.phone, one.email, one.webhook_url,
            )  # fmt: skip
        for number, (kind, policy) in enumerate(((Kind.SOS, POLICY), (Kind.FALL, COUNTED))):
            await connection.execute(
                "INSERT INTO alert_policies (policy_id, tenant_id, kind, policy, updated_by) "
                "VALUES ($1, $2, $3, $4, 'olga')",
                UUID(int=number + 1), TENANT, kind.value, msgspec.json.encode(policy).decode(),
            )  # fmt: skip


# --- what is read of it: by that release when the files are made, by today's in the tests


async def read_store(db: Any) -> dict[str, Any]:
    """What the reads of the store give."""
    ids = [alert.alert_id for alert in await names.alert_reads.list_(db, TENANT, limit=500)]
    page = await names.timer_rows.page(db, TENANT, live=False)
    explained = {str(one): await names.alert_reads.explain(db, TENANT, one) for one in ids}
    return plain(
        {
            "explained": explained,
            "shown_to_driver": {key: as_shown_to_driver(one.alert) for key, one in explained.items() if one},
            "open": [alert.alert_id for alert in await names.alert_reads.open_of(db, TENANT)],
            "timers": page.timers,
            "circumstances": await names.circumstances(db, TENANT, VENDOR, "d-people"),
        }
    )


async def read_api(api: Api) -> dict[str, Any]:
    """What the API answers: to a dispatcher of all vendors."""
    listed = (await api.get("/api/v1/alerts?limit=500")).json
    timers_listed = (await api.get("/api/v1/timers?all=true")).json
    details = {}
    for alert in listed["alerts"]:
        details[alert["alert_id"]] = (await api.get(f"/api/v1/alerts/{alert['alert_id']}?limit=500")).json
    return {"alerts": listed, "details": details, "timers": timers_listed}


def plain(value: Any) -> Any:
    """``value`` as plain JSON values."""
    return json.loads(msgspec.json.encode(value))


async def dumped(connection: Any) -> dict[str, list[dict[str, Any]]]:
    """The rows of `TABLES`, the values of each as text or None."""
    found = {}
    for table in TABLES:
        columns = [
            row["attname"]
            for row in await connection.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 "
                "AND NOT attisdropped ORDER BY attnum",
                table,
            )
            if row["attname"] not in LEFT_OUT.get(table, set())
        ]
        chosen = ", ".join(f"{column}::text" for column in columns)
        rows = await connection.fetch(f"SELECT {chosen} FROM {table}")
        found[table] = sorted(map(dict, rows), key=lambda row: [str(value) for value in row.values()])
    return found


def _lines(value: Any, depth: int = 2) -> str:
    """``value`` as JSON with a line for each entry of the outer ``depth`` objects and arrays."""
    if not depth or not value or not isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, list):
        return "[\n" + ",\n".join(_lines(one, depth - 1) for one in value) + "\n]"
    entries = (f"{json.dumps(key)}: {_lines(value[key], depth - 1)}" for key in sorted(value))
    return "{\n" + ",\n".join(entries) + "\n}"


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Story]:
    db = await names.Database.open(names.Settings(database_url=url, db_timeout_s=10))  # type: ignore[arg-type]
    try:
        yield Story(url, db)
    finally:
        await db.close()


async def _make(url: str) -> None:
    async with _opened(url) as story:
        await story.later(0)
        await _people(story)
        await tell(story)
        async with story.db.writer() as connection:  # across tenants
            rows = await dumped(connection)
        read = await read_store(story.db)
    async with running(url, auth_secret=SECRET) as api:
        answers = await read_api(api)
    for name, value in (("rows", rows), ("rows_read", read), ("rows_api", answers)):
        (FOLDER / f"{name}.json").write_text(_lines(value) + "\n")


def main() -> None:
    """Write the files; starts a Postgres."""
    os.environ["ALLOW_UNSAFE_DURABILITY"] = "true"
    FOLDER.mkdir(exist_ok=True)
    with engine_folder() as folder:
        server = EmbeddedPostgres(folder, port=0, max_connections=50, options=QUICK)
        server.start()
        try:
            as_admin(server, f"create database {TEMPLATE} owner {OWNER}")
            url = at_database(server.url, TEMPLATE)
            in_thread(lambda: names.migrate(names.Settings(database_url=url)))  # type: ignore[arg-type]
            asyncio.run(_make(url))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
