"""Paths, queries, bodies and answers about alerts and safety timers."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from alerts.alert import ActorKind, State
from alerts.policy import Source
from alerts.timers import TimerKind, TimerState
from realtime.alerting.views import AlertView
from realtime.api.framework.shapes import Cursor, Identifier, Millis, Ok

MAX_PAGE: Final = 500
Note = Annotated[str, Meta(max_length=1_000)]


# --- paths
class AlertPath(Struct, forbid_unknown_fields=True):
    """An alert; also by the id that a press was given before it joined another."""

    alert_id: UUID


class TimerPath(Struct, forbid_unknown_fields=True):
    """A safety timer, by the id the server gave it."""

    timer_id: UUID


# --- queries
class AlertsQuery(Struct, forbid_unknown_fields=True):
    """Which alerts; all filters narrow."""

    vendor: Identifier | None = None
    driver: Identifier | None = None
    state: State | None = None
    since: Annotated[Millis, Meta(description="raised at or after this")] | None = None
    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="alerts on a page at most")] = 100


class AlertQuery(Struct, forbid_unknown_fields=True):
    """How much of its attempts and history."""

    limit: Annotated[
        int, Meta(ge=1, le=MAX_PAGE, description="attempts, and lines of the history, at most: the newest")
    ] = 100


class EarlierQuery(Struct, forbid_unknown_fields=True):
    """Which page: the newest, and from there back in time."""

    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="on a page at most")] = 100


class TimersQuery(Struct, forbid_unknown_fields=True):
    """Which timers: those that run, unless `all`; all filters narrow."""

    driver: Identifier | None = None
    all: bool = False
    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="timers on a page at most")] = MAX_PAGE


# --- bodies
class Nothing(Struct, forbid_unknown_fields=True):
    """An empty object."""


class NoteRequest(Struct, forbid_unknown_fields=True):
    """A note for the others."""

    text: Annotated[str, Meta(min_length=1, max_length=1_000)]


class CloseRequest(Struct, forbid_unknown_fields=True):
    """How it ended."""

    note: Note = ""


class ResponderRequest(Struct, forbid_unknown_fields=True):
    """Who is coming: the caller, or somebody they name."""

    name: Annotated[str, Meta(max_length=100)] | None = None
    eta_s: Annotated[int, Meta(ge=0, le=86_400, description="seconds until they are there")] | None = None


class RaiseRequest(Struct, forbid_unknown_fields=True):
    """An alert raised for a driver: a drill, or a call for help that somebody took."""

    sos_id: Annotated[UUID, Meta(description="by the caller; the same again is the same alert")]
    vendor: Identifier
    driver: Identifier
    drill: bool = False
    silent: bool = False
    message: Annotated[str, Meta(max_length=500)] = ""


class TimerRequest(Struct, forbid_unknown_fields=True):
    """A timer of the calling driver's, or of `driver` when an overseer asks."""

    kind: TimerKind
    client_timer_id: Annotated[UUID, Meta(description="by the app; the same again is the same timer")]
    by: Annotated[Millis, Meta(description="`arrive_by`: by when")] | None = None
    every_s: (
        Annotated[
            int, Meta(description="`check_in`: from one to the next; `signal_lost`: how long a silence")
        ]
        | None
    ) = None
    grace_s: Annotated[int, Meta(ge=0, le=3_600)] = 0
    journey_id: UUID | None = None
    drill: bool = False
    driver: Identifier | None = None


# --- answers
class AlertPage(Struct, kw_only=True):
    """A page of alerts, newest first."""

    ok: Ok = True
    alerts: list[AlertView]
    next_cursor: str | None


class OneAlert(Struct, kw_only=True):
    """One alert."""

    ok: Ok = True
    alert: AlertView


class AttemptView(Struct):
    """One message to one contact."""

    attempt_id: UUID
    purpose: str
    contact_id: str
    contact: str
    channel: str
    status: str
    round: int
    step: int
    number: int
    repeat: bool
    due_at: int
    sent_at: int | None
    delivered_at: int | None
    provider: str | None
    provider_status: str | None
    reason: str | None


class HistoryView(Struct):
    """One thing that happened; `arrow` is the letter in the diagram of docs/ALERTS.md."""

    version: int
    at: int
    by_kind: ActorKind
    by_id: str
    by_name: str
    what: str
    arrow: str | None
    detail: dict[str, Any]


Earlier = Annotated[
    str | None, Meta(description="`cursor` of the page before these, in order of time; null: these are all")
]


class SnapshotView(Struct):
    """Where the contacts and the policy of an alert were read when it was raised."""

    source: Source
    age_ms: Annotated[int, Meta(description="`local_copy`: how old that was")] | None
    is_complete: Annotated[bool, Meta(description="whether both are those of the database by now")]


class AlertDetail(Struct, kw_only=True):
    """One alert; for overseers with its snapshot, and the newest of its attempts and history in order."""

    ok: Ok = True
    alert: AlertView
    attempts: list[AttemptView]
    attempts_cursor: Earlier
    history: list[HistoryView]
    history_cursor: Earlier
    snapshot: SnapshotView | None = None


class AttemptPage(Struct, kw_only=True):
    """A page of an alert's attempts, in order of time; the next page is of earlier ones."""

    ok: Ok = True
    attempts: list[AttemptView]
    next_cursor: Earlier


class HistoryPage(Struct, kw_only=True):
    """A page of an alert's history, in order of time; the next page is of earlier lines."""

    ok: Ok = True
    history: list[HistoryView]
    next_cursor: Earlier


class TimerView(Struct):
    """A safety timer as it stands."""

    timer_id: UUID
    vendor: str
    driver: str
    kind: TimerKind
    state: TimerState
    due_at: int
    by: int | None
    every_s: int | None
    grace_s: int
    journey_id: UUID | None
    drill: bool
    alert_id: UUID | None


class Timers(Struct, kw_only=True):
    """Timers; none when Postgres does not take what the driver said and Redis has stored it."""

    ok: Ok = True
    timers: list[TimerView]
    durability: Literal["committed", "replicated"] = "committed"


class ListedTimers(Struct, kw_only=True):
    """A page of timers."""

    ok: Ok = True
    timers: list[TimerView]
    next_cursor: str | None


class OneTimer(Struct, kw_only=True):
    """One timer."""

    ok: Ok = True
    timer: TimerView
