"""Every Python name that the tests of golden files go through: after a rename only this file changes."""

from alerts.attempt import Channel
from alerts.journal.encryption import unseal
from alerts.journal.ledger import LocalLedger
from alerts.replies.answer import AnswerClaims, derive, make_token, read_token
from realtime.alerting.failover.exchange import ReplicaExchange
from realtime.alerting.failover.keys import local_key
from realtime.alerting.failover.leases import Leases
from realtime.alerting.failover.replicas import opened, sealed
from realtime.api.table import ABOUT, API, SOS
from realtime.auth.tokens import Authenticator, Principal, mint
from realtime.bus.envelope import BusItem, Message, Sequencer, read
from realtime.cli import COMMANDS, main
from realtime.live.precedence import order_of
from realtime.live.presence import presence_order
from realtime.live.presence_tracker import INSTANCES_KEY, mark_key
from realtime.live.presence_tracker import lease_key as instance_lease_key
from realtime.live.redis_state import LiveState, StoredValue
from realtime.live.topics import POSITIONS, PRESENCE, position_item, presence_item
from realtime.metrics.instruments import EVENTS
from realtime.metrics.registry import REGISTRY
from realtime.outside.twilio_callbacks import Behaviour
from realtime.protocol import HTTP_STATUS, Code, Refused
from realtime.redis.client import client
from realtime.sessions.book import SessionStore
from realtime.sessions.cookie import SessionCookie
from realtime.sessions.pairings import Pairing, Pairings
from realtime.settings import Settings
from realtime.store.alerts import reads as alert_reads
from realtime.store.alerts import timers as timer_rows
from realtime.store.alerts.circumstances import circumstances
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.db.database import Database
from realtime.store.db.migration import FOLDER as MIGRATIONS
from realtime.store.db.migration import migrations as known_migrations
from realtime.store.db.migration import pending
from realtime.store.journeys.shares import is_signed, signing_key
from realtime.store.migrate import migrate
from realtime.store.people import driver_settings
from realtime.store.people.tenants import connect_driver
from realtime.timers.checkins import CheckIn, CheckInAction, CheckIns
from realtime.timers.scheduler import TimerScheduler

__all__ = [
    "ABOUT",
    "API",
    "COMMANDS",
    "EVENTS",
    "HTTP_STATUS",
    "INSTANCES_KEY",
    "MIGRATIONS",
    "POSITIONS",
    "PRESENCE",
    "REGISTRY",
    "SOS",
    "AnswerClaims",
    "Authenticator",
    "Behaviour",
    "BusItem",
    "Channel",
    "CheckIn",
    "CheckInAction",
    "CheckIns",
    "Code",
    "Database",
    "Leases",
    "LiveState",
    "LocalLedger",
    "Message",
    "Pairing",
    "Pairings",
    "PostgresLedger",
    "Principal",
    "Refused",
    "ReplicaExchange",
    "Sequencer",
    "SessionCookie",
    "SessionStore",
    "Settings",
    "StoredValue",
    "TimerScheduler",
    "alert_reads",
    "circumstances",
    "client",
    "connect_driver",
    "derive",
    "driver_settings",
    "instance_lease_key",
    "is_signed",
    "known_migrations",
    "local_key",
    "main",
    "make_token",
    "mark_key",
    "migrate",
    "mint",
    "opened",
    "order_of",
    "pending",
    "position_item",
    "presence_item",
    "presence_order",
    "read",
    "read_token",
    "sealed",
    "signing_key",
    "timer_rows",
    "unseal",
]
