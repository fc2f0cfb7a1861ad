"""Every metric of a process, in one registry. No label ever carries an id; docs/OPERATIONS.md lists them all.

Counters that have a closed set of label values start at 0, so that a rate is right from the first event.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from alerts.attempt import Channel
from geo.position import VoidReason
from realtime.protocol import Code
from realtime.tallies import Exporter, Labelled, Number, Spread

Kind = Literal["counter", "gauge", "histogram"]
Labels = dict[str, Iterable[str] | None]

LATENCY_BUCKETS_S: Final = (
    *(0.001, 0.002, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06),
    *(0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 1.5, 2.5, 4.0, 6.0, 10.0),
)
SAFETY_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 20.0, 30.0, 60.0, 120.0)
"""For what an SOS is promised: 2 s, 10 s with one fault, 30 s with two."""
BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)

NAMESPACES: Final = ("/driver", "/watch")
TRANSPORTS: Final = ("websocket", "polling")
FEED_KINDS: Final = ("vendor", "driver", "area", "journey")
"""What stands before the colon of a feed's name; the fan-out counts by it."""
EVENTS: Final = (
    *(
        "journey:start",
        "positions",
        "journey:end",
        "sos",
        "sos:cancel",
        "sos:state",
        "watch",
        "unwatch",
        "whoami",
    ),
    *("alert:ack", "alert:resolve", "alert:note", "alert:respond", "alert:false_alarm", "other"),
)
CODES: Final = tuple(code.value for code in Code)
OUTCOMES: Final = ("ok", *CODES)
VOID_REASONS: Final = (*(reason.value for reason in VoidReason), "skipped")
"""``skipped`` stands for whatever reason an app gave when it declared points lost."""
DROP_REASONS: Final = ("redis_away", "queue_full", "oversize", "malformed")
REFILL_REASONS: Final = ("gap", "resubscribed", "audit")
POOLS: Final = ("primary", "replica")
DB_KINDS: Final = ("read", "write")
POOL_STATES: Final = ("idle", "used")
CHANNELS: Final = tuple(channel.value for channel in Channel)
ATTEMPT_OUTCOMES: Final = ("accepted", "retryable", "permanent", "unsure")
FOUND: Final = ("found", "absent", "unknown")
SOS_SOURCES: Final = ("socket", "http", "timer")
DURABILITIES: Final = ("committed", "replicated", "local")
ROUNDS: Final = ("ok", "away")
CALLBACK_OUTCOMES: Final = ("taken", "early", "replayed", "unknown", "forged", "malformed", "away")
"""``taken``: of a message we know, whether or not it moved it; ``early``: of one not recorded yet;
``replayed``: an answer that was taken before; ``unknown``: one to nothing open; ``away``: not taken,
the store being away."""
FINDINGS: Final = (
    "unreached",
    "exhausted",
    "stuck",
    "unreported",
    "worker_silent",
    "journal",
    "mass_silence",
)
TIMER_KINDS: Final = ("arrive_by", "check_in", "signal_lost")

REGISTRY: Final = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class Described:
    """One row of the table in docs/OPERATIONS.md. ``name`` is what is scraped, ``_total`` included."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str


CATALOGUE: Final[list[Described]] = []
"""Every metric of this module, in the order of this file."""


def _counter(name: str, meaning: str) -> Number:
    return _numbers(name, "counter", meaning, {}).labels()


def _counters(name: str, meaning: str, **labels: Iterable[str] | None) -> Labelled[Number]:
    """A counter with labels: each with its closed set of values, or None when that is known only later."""
    return _numbers(name, "counter", meaning, labels)


def _gauge(name: str, meaning: str) -> Number:
    return _numbers(name, "gauge", meaning, {}).labels()


def _gauges(name: str, meaning: str, **labels: Iterable[str] | None) -> Labelled[Number]:
    return _numbers(name, "gauge", meaning, labels)


def _histogram(name: str, meaning: str, bounds: tuple[float, ...] = LATENCY_BUCKETS_S) -> Spread:
    return _histograms(name, meaning, bounds).labels()


def _histograms(
    name: str, meaning: str, bounds: tuple[float, ...] = LATENCY_BUCKETS_S, **labels: Iterable[str] | None
) -> Labelled[Spread]:
    metric = Labelled(partial(Spread, bounds))
    _export(name, "histogram", meaning, labels, metric)
    return metric


def _numbers(name: str, kind: Kind, meaning: str, labels: Labels) -> Labelled[Number]:
    metric = Labelled(Number)
    _export(name, kind, meaning, labels, metric)
    return metric


def _export(
    name: str,
    kind: Kind,
    meaning: str,
    labels: Labels,
    metric: Labelled[Number] | Labelled[Spread],
) -> None:
    names = tuple(labels)
    CATALOGUE.append(Described(name, kind, names, meaning))
    closed = [values for values in labels.values() if values is not None]
    if len(closed) == len(labels):
        for combination in product(*closed):
            metric.labels(*combination)
    REGISTRY.register(Exporter((name, meaning, names), kind, metric))


# --- sockets
CONNECTIONS: Final = _gauges(
    "wayguard_connections", "open Socket.IO connections", namespace=NAMESPACES, transport=TRANSPORTS
)
CONNECTS_REFUSED: Final = _counters(
    "wayguard_connects_refused_total", "connections refused, by error code", namespace=NAMESPACES, code=CODES
)
ACKS: Final = _counters(
    "wayguard_acks_total", "answers to client events: ok or the error code", event=EVENTS, outcome=OUTCOMES
)

# --- ingest and commit
POINTS_ACCEPTED: Final = _counter(
    "wayguard_points_accepted_total", "points committed as positions (resent ones not counted again)"
)
POINTS_VOIDED: Final = _counters(
    "wayguard_points_voided_total", "points committed as voids", reason=VOID_REASONS
)
COMMIT_SECONDS: Final = _histogram("wayguard_commit_seconds", "duration of one group commit, in seconds")
COMMIT_POINTS: Final = _histogram("wayguard_commit_points", "points in one group commit", BATCH_BUCKETS)
COMMIT_FAILURES: Final = _counters(
    "wayguard_commit_failures_total", "group commits that failed, by error code", code=CODES
)
COMMIT_QUEUE: Final = _gauge("wayguard_commit_queue_points", "points waiting for a commit")

# --- the promises, as latencies
FIX_TO_VIEWER: Final = _histograms(
    "wayguard_fix_to_viewer_seconds",
    "arrival of a fix until it is written to its viewers, in seconds",
    feed=FEED_KINDS,
)
FIX_TO_ACK: Final = _histogram(
    "wayguard_fix_to_ack_seconds", "arrival of a fix until its committed ack is written, in seconds"
)

# --- fan-out
FEEDS: Final = _gauges("wayguard_feeds", "feeds with at least one viewer here", kind=FEED_KINDS)
VIEWERS: Final = _gauges("wayguard_viewers", "memberships of viewers in feeds here", kind=FEED_KINDS)
TICK_LATE: Final = _histogram(
    "wayguard_tick_late_seconds", "how much later than due a tick of the fan-out came, in seconds"
)
VIEWERS_LAGGING: Final = _gauge("wayguard_viewers_lagging", "viewers whose buffer is above its limit now")
VIEWERS_STALLED: Final = _counter("wayguard_viewers_stalled_total", "viewers closed for making no progress")
BUS_MESSAGES: Final = _counters(
    "wayguard_bus_messages_total", "messages through Redis pub/sub", direction=("in", "out")
)
BUS_DROPPED: Final = _counters("wayguard_bus_dropped_total", "bus messages dropped", reason=DROP_REASONS)
REFILLS: Final = _counters(
    "wayguard_refills_total", "feeds made whole from the store after a doubt", reason=REFILL_REASONS
)

# --- engines
DB_POOL: Final = _gauges(
    "wayguard_db_pool_connections", "database connections", pool=POOLS, state=POOL_STATES
)
DB_SECONDS: Final = _histograms(
    "wayguard_db_transaction_seconds", "duration of one transaction on the primary, in seconds", kind=DB_KINDS
)
DB_SLOW: Final = _counters(
    "wayguard_db_slow_transactions_total", "transactions on the primary longer than a second", kind=DB_KINDS
)
REPLICA_FRESH: Final = _gauge(
    "wayguard_replica_fresh", "1 while history is read from the replica, 0 when there is none or it lags"
)
POSTGRES_UP: Final = _gauge("wayguard_postgres_up", "1 while Postgres answers, else 0")
REDIS_UP: Final = _gauge("wayguard_redis_up", "1 while Redis answers, else 0")
PARTITIONS_MISSING: Final = _gauge(
    "wayguard_partitions_missing", "daily partitions of the coming days that do not exist yet"
)

# --- alerts
SOS_TAKEN: Final = _counters(
    "wayguard_sos_taken_total",
    "presses acknowledged, by where they came in and how durably they are kept",
    source=SOS_SOURCES,
    durability=DURABILITIES,
)
SOS_ACCEPTED: Final = _histograms(
    "wayguard_sos_to_accepted_seconds",
    "from an alert's becoming active until a provider accepted its first message, in seconds",
    SAFETY_BUCKETS_S,
    channel=CHANNELS,
)
ATTEMPTS: Final = _counters(
    "wayguard_alert_attempts_total",
    "messages given to providers, by what they said",
    channel=CHANNELS,
    outcome=ATTEMPT_OUTCOMES,
)
ATTEMPT_SECONDS: Final = _histograms(
    "wayguard_alert_attempt_seconds", "how long a provider took to answer, in seconds", channel=CHANNELS
)
REPEATS: Final = _counters(
    "wayguard_alert_repeats_total",
    "messages sent although an earlier try of theirs may have arrived",
    channel=CHANNELS,
)
LOOK_UPS: Final = _counters(
    "wayguard_alert_look_ups_total",
    "look-ups of an earlier try at its provider, by what was found",
    channel=CHANNELS,
    found=FOUND,
)
LEASES_LOST: Final = _counters(
    "wayguard_alert_leases_lost_total",
    "claimed messages not sent, since the lease might have ended first",
    channel=CHANNELS,
)
SENDING: Final = _gauges(
    "wayguard_alert_sending", "messages on their way to a provider now", channel=CHANNELS
)
BREAKER: Final = _gauges(
    "wayguard_provider_breaker", "a channel's breaker: 0 closed, 1 half open, 2 open", channel=CHANNELS
)
UNRECORDED: Final = _gauge(
    "wayguard_alert_unrecorded", "outcomes in memory alone, the ledger and the journal being away"
)
DIRECTORY_AGE: Final = _gauge(
    "wayguard_directory_age_seconds",
    "age of the local copy of contacts and policies that serves while Postgres is away",
)
JOURNAL_WAITING: Final = _gauge(
    "wayguard_journal_waiting", "alerts on this process's disk that Postgres does not have yet"
)
JOURNAL_OLDEST: Final = _gauge(
    "wayguard_journal_oldest_seconds", "how long the oldest of them has waited, in seconds"
)
JOURNAL_IMPORTED: Final = _counters(
    "wayguard_journal_imported_total",
    "alerts of the journal given to Postgres, by what it said",
    outcome=("ok", "rejected"),
)
COPIES_SEEN: Final = _gauge(
    "wayguard_journal_copies", "alerts on the disks of other processes that this one has seen"
)
COPIES_SKIPPED: Final = _counters(
    "wayguard_journal_copies_skipped_total",
    "copies that were not shown, or not read",
    reason=("broken", "failed", "too_large", "too_many"),
)
TURNS: Final = _counters(
    "wayguard_journal_turns_total",
    "alerts of the journal that this process began or ceased to act on for another",
    outcome=("taken", "given_up"),
)
FORGOTTEN: Final = _counter(
    "wayguard_alert_forgotten_total", "outcomes that could not be recorded; they are looked up instead"
)
DELIVERY_ROUNDS: Final = _counters(
    "wayguard_delivery_rounds_total", "rounds of delivery: ok, or the ledger was away", outcome=ROUNDS
)
CALLBACKS: Final = _counters(
    "wayguard_provider_callbacks_total",
    "what providers called back with",
    provider=None,
    outcome=CALLBACK_OUTCOMES,
)
TIMERS_FIRED: Final = _counters(
    "wayguard_timers_fired_total", "safety timers that raised an alert", kind=TIMER_KINDS
)
TIMER_LATE_SECONDS: Final = _histogram(
    "wayguard_timer_late_seconds",
    "how long after its time a safety timer fired, in seconds",
    SAFETY_BUCKETS_S,
)
CONTACT_CODES: Final = _counters(
    "wayguard_codes_total",
    "codes that verify a contact's address, by what became of them; withheld: the address had enough",
    channel=("sms", "call", "email"),
    outcome=(*ATTEMPT_OUTCOMES, "withheld"),
)
ALERTS_OPEN: Final = _gauge("wayguard_alerts_open", "open alerts, drills apart; from the auditor alone")
ATTEMPTS_WAITING: Final = _gauges(
    "wayguard_alert_attempts_waiting",
    "messages that are due and with nobody; from the auditor alone",
    channel=CHANNELS,
)
AUDITOR_FINDINGS: Final = _gauges(
    "wayguard_auditor_findings", "what the auditor finds wrong now; from the auditor alone", finding=FINDINGS
)
AUDITED_MS: Final = _gauge(
    "wayguard_audited_timestamp_ms", "when this process last audited, in ms since the epoch; 0 = never"
)

# --- the mirror
MIRROR_LEADING: Final = _gauge("wayguard_mirror_leading", "1 while this process writes the Firebase mirror")
MIRROR_WAITING: Final = _gauge("wayguard_mirror_waiting_paths", "paths of the mirror that are to be written")
MIRROR_PATHS: Final = _counter("wayguard_mirror_paths_total", "paths of the mirror written or removed")
MIRROR_UPDATES: Final = _counters(
    "wayguard_mirror_updates_total", "updates of the mirror: ok or failed", outcome=("ok", "failed")
)
MIRROR_SECONDS: Final = _histogram(
    "wayguard_mirror_update_seconds", "duration of one update of the mirror, in seconds"
)

# --- the process
TASKS: Final = _gauge("wayguard_tasks", "asyncio tasks of this process")

# --- HTTP
HTTP_REQUESTS: Final = _counters(
    "wayguard_http_requests_total",
    "HTTP requests by route template (unknown paths: other)",
    method=None,
    route=None,
    status=None,
)
HTTP_SECONDS: Final = _histograms(
    "wayguard_http_request_seconds", "duration of one HTTP request, in seconds", route=None
)


def exposition() -> tuple[bytes, str]:
    """What ``/metrics`` answers: the body and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
