"""Every metric of a process. No label ever carries an id; docs/OPERATIONS.md lists them all."""

from typing import Final

from alerts.attempt import Channel
from geo.position import VoidReason
from realtime.metrics.registry import counter, counters, gauge, gauges, histogram, histograms
from realtime.protocol import Code

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
POOLS: Final = ("primary", "replica", "presses", "guests")
GUESTS: Final = ("share", "session")
GUEST_OUTCOMES: Final = ("opened", "unknown", *CODES)
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

# --- sockets
CONNECTIONS: Final = gauges(
    "wayguard_connections", "open Socket.IO connections", namespace=NAMESPACES, transport=TRANSPORTS
)
CONNECTS_REFUSED: Final = counters(
    "wayguard_connects_refused_total", "connections refused, by error code", namespace=NAMESPACES, code=CODES
)
GUEST_LOOKUPS: Final = counters(
    "wayguard_guest_lookups_total",
    "credentials that were not known to be valid, by what became of them",
    credential=GUESTS,
    outcome=GUEST_OUTCOMES,
)
ACKS: Final = counters(
    "wayguard_acks_total", "answers to client events: ok or the error code", event=EVENTS, outcome=OUTCOMES
)

# --- ingest and commit
POINTS_ACCEPTED: Final = counter(
    "wayguard_points_accepted_total", "points committed as positions (resent ones not counted again)"
)
POINTS_VOIDED: Final = counters(
    "wayguard_points_voided_total", "points committed as voids", reason=VOID_REASONS
)
COMMIT_SECONDS: Final = histogram("wayguard_commit_seconds", "duration of one group commit, in seconds")
COMMIT_POINTS: Final = histogram("wayguard_commit_points", "points in one group commit", BATCH_BUCKETS)
COMMIT_FAILURES: Final = counters(
    "wayguard_commit_failures_total", "group commits that failed, by error code", code=CODES
)
COMMIT_QUEUE: Final = gauge("wayguard_commit_queue_points", "points waiting for a commit")

# --- the promises, as latencies
FIX_TO_VIEWER: Final = histograms(
    "wayguard_fix_to_viewer_seconds",
    "arrival of a fix until it is written to its viewers, in seconds",
    feed=FEED_KINDS,
)
FIX_TO_ACK: Final = histogram(
    "wayguard_fix_to_ack_seconds", "arrival of a fix until its committed ack is written, in seconds"
)

# --- fan-out
FEEDS: Final = gauges("wayguard_feeds", "feeds with at least one viewer here", kind=FEED_KINDS)
VIEWERS: Final = gauges("wayguard_viewers", "memberships of viewers in feeds here", kind=FEED_KINDS)
TICK_LATE: Final = histogram(
    "wayguard_tick_late_seconds", "how much later than due a tick of the fan-out came, in seconds"
)
VIEWERS_LAGGING: Final = gauge("wayguard_viewers_lagging", "viewers whose buffer is above its limit now")
VIEWERS_STALLED: Final = counter("wayguard_viewers_stalled_total", "viewers closed for making no progress")
BUS_MESSAGES: Final = counters(
    "wayguard_bus_messages_total", "messages through Redis pub/sub", direction=("in", "out")
)
BUS_DROPPED: Final = counters("wayguard_bus_dropped_total", "bus messages dropped", reason=DROP_REASONS)
REFILLS: Final = counters(
    "wayguard_refills_total", "feeds made whole from the store after a doubt", reason=REFILL_REASONS
)

# --- engines
DB_POOL: Final = gauges("wayguard_db_pool_connections", "database connections", pool=POOLS, state=POOL_STATES)
DB_SECONDS: Final = histograms(
    "wayguard_db_transaction_seconds", "duration of one transaction on the primary, in seconds", kind=DB_KINDS
)
DB_SLOW: Final = counters(
    "wayguard_db_slow_transactions_total", "transactions on the primary longer than a second", kind=DB_KINDS
)
REPLICA_FRESH: Final = gauge(
    "wayguard_replica_fresh", "1 while history is read from the replica, 0 when there is none or it lags"
)
POSTGRES_UP: Final = gauge("wayguard_postgres_up", "1 while Postgres answers, else 0")
REDIS_UP: Final = gauge("wayguard_redis_up", "1 while Redis answers, else 0")
PARTITIONS_MISSING: Final = gauge(
    "wayguard_partitions_missing", "daily partitions of the coming days that do not exist yet"
)

# --- alerts
SOS_TAKEN: Final = counters(
    "wayguard_sos_taken_total",
    "presses acknowledged, by where they came in and how durably they are kept",
    source=SOS_SOURCES,
    durability=DURABILITIES,
)
SOS_ACCEPTED: Final = histograms(
    "wayguard_sos_to_accepted_seconds",
    "from an alert's becoming active until a provider accepted its first message, in seconds",
    SAFETY_BUCKETS_S,
    channel=CHANNELS,
)
ATTEMPTS: Final = counters(
    "wayguard_alert_attempts_total",
    "messages given to providers, by what they said",
    channel=CHANNELS,
    outcome=ATTEMPT_OUTCOMES,
)
ATTEMPT_SECONDS: Final = histograms(
    "wayguard_alert_attempt_seconds", "how long a provider took to answer, in seconds", channel=CHANNELS
)
REPEATS: Final = counters(
    "wayguard_alert_repeats_total",
    "messages sent although an earlier try of theirs may have arrived",
    channel=CHANNELS,
)
LOOK_UPS: Final = counters(
    "wayguard_alert_look_ups_total",
    "look-ups of an earlier try at its provider, by what was found",
    channel=CHANNELS,
    found=FOUND,
)
LEASES_LOST: Final = counters(
    "wayguard_alert_leases_lost_total",
    "claimed messages not sent, since the lease might have ended first",
    channel=CHANNELS,
)
SENDING: Final = gauges("wayguard_alert_sending", "messages on their way to a provider now", channel=CHANNELS)
BREAKER: Final = gauges(
    "wayguard_provider_breaker", "a channel's breaker: 0 closed, 1 half open, 2 open", channel=CHANNELS
)
WEBHOOK_HOSTS_DOWN: Final = gauge(
    "wayguard_webhook_hosts_down", "hosts of webhooks, tenant by tenant, whose breaker is open"
)
UNRECORDED: Final = gauge(
    "wayguard_alert_unrecorded", "outcomes in memory alone, the ledger and the journal being away"
)
DIRECTORY_READS: Final = counters(
    "wayguard_directory_reads_total",
    "readings into the local copy because changes were announced: of their scopes, of everything, or failed",
    kind=("scopes", "everything", "failed"),
)
DIRECTORY_AGE: Final = gauge(
    "wayguard_directory_age_seconds",
    "age of the local copy of contacts and policies that serves while Postgres is away",
)
JOURNAL_WAITING: Final = gauge(
    "wayguard_journal_waiting", "alerts on this process's disk that Postgres does not have yet"
)
JOURNAL_OLDEST: Final = gauge(
    "wayguard_journal_oldest_seconds", "how long the oldest of them has waited, in seconds"
)
JOURNAL_IMPORTED: Final = counters(
    "wayguard_journal_imported_total",
    "alerts of the journal that went, by what Postgres said: ok is brought in, known is a copy it had all of",
    outcome=("ok", "known", "rejected"),
)
ALERT_STORE_FAULTS: Final = counter(
    "wayguard_alert_store_faults_total",
    "requests about alerts that Postgres failed while it was available: damage, a missing table or right",
)
PRESS_STEP_FAULTS: Final = counters(
    "wayguard_press_step_faults_total",
    "presses that were stored without what a step between press and acknowledgement would have added",
    step=(
        *("journal", "live_position", "place", "open_alert", "contacts"),
        *("import", "replication", "delivery", "announcement"),
    ),
)
COPIES_SEEN: Final = gauge(
    "wayguard_journal_copies", "alerts on the disks of other processes that this one has seen"
)
COPIES_SKIPPED: Final = counters(
    "wayguard_journal_copies_skipped_total",
    "copies that were not shown, or not read",
    reason=("broken", "failed", "too_large", "too_many"),
)
TURNS: Final = counters(
    "wayguard_journal_turns_total",
    "alerts of the journal that this process began or ceased to act on for another",
    outcome=("taken", "given_up"),
)
FORGOTTEN: Final = counter(
    "wayguard_alert_forgotten_total", "outcomes that could not be recorded; they are looked up instead"
)
DELIVERY_ROUNDS: Final = counters(
    "wayguard_delivery_rounds_total", "rounds of delivery: ok, or the ledger was away", outcome=ROUNDS
)
CALLBACKS: Final = counters(
    "wayguard_provider_callbacks_total",
    "what providers called back with",
    provider=None,
    outcome=CALLBACK_OUTCOMES,
)
TIMERS_FIRED: Final = counters(
    "wayguard_timers_fired_total", "safety timers that raised an alert", kind=TIMER_KINDS
)
TIMER_LATE_SECONDS: Final = histogram(
    "wayguard_timer_late_seconds",
    "how long after its time a safety timer fired, in seconds",
    SAFETY_BUCKETS_S,
)
CONTACT_CODES: Final = counters(
    "wayguard_codes_total",
    "codes that verify a contact's address, by what became of them; withheld: the address had enough",
    channel=("sms", "call", "email"),
    outcome=(*ATTEMPT_OUTCOMES, "withheld"),
)
ALERTS_OPEN: Final = gauge("wayguard_alerts_open", "open alerts, drills apart; from the auditor alone")
ATTEMPTS_WAITING: Final = gauges(
    "wayguard_alert_attempts_waiting",
    "messages that are due and with nobody; from the auditor alone",
    channel=CHANNELS,
)
AUDITOR_FINDINGS: Final = gauges(
    "wayguard_auditor_findings", "what the auditor finds wrong now; from the auditor alone", finding=FINDINGS
)
AUDITED_MS: Final = gauge(
    "wayguard_audited_timestamp_ms", "when this process last audited, in ms since the epoch; 0 = never"
)

# --- the mirror
MIRROR_LEADING: Final = gauge("wayguard_mirror_leading", "1 while this process writes the Firebase mirror")
MIRROR_WAITING: Final = gauge("wayguard_mirror_waiting_paths", "paths of the mirror that are to be written")
MIRROR_PATHS: Final = counter("wayguard_mirror_paths_total", "paths of the mirror written or removed")
MIRROR_UPDATES: Final = counters(
    "wayguard_mirror_updates_total", "updates of the mirror: ok or failed", outcome=("ok", "failed")
)
MIRROR_SECONDS: Final = histogram(
    "wayguard_mirror_update_seconds", "duration of one update of the mirror, in seconds"
)

# --- the process
TASKS: Final = gauge("wayguard_tasks", "asyncio tasks of this process")

# --- HTTP
HTTP_REQUESTS: Final = counters(
    "wayguard_http_requests_total",
    "HTTP requests by route template (unknown paths: other)",
    method=None,
    route=None,
    status=None,
)
HTTP_SECONDS: Final = histograms(
    "wayguard_http_request_seconds", "duration of one HTTP request, in seconds", route=None
)
