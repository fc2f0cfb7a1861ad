"""Every Python name that the tests of golden files go through: after a rename only this file changes."""

from alerts.journal.encryption import unseal
from alerts.journal.ledger import LocalLedger
from alerts.replies.answer import AnswerClaims, derive, make_token, read_token
from realtime.alerting.failover.keys import local_key
from realtime.alerting.failover.replicas import opened, sealed
from realtime.api.table import ABOUT, API, SOS
from realtime.auth.tokens import Authenticator
from realtime.bus.envelope import BusItem, Message, Sequencer, read
from realtime.cli import COMMANDS, main
from realtime.metrics.instruments import EVENTS
from realtime.metrics.registry import REGISTRY
from realtime.protocol import HTTP_STATUS, Code
from realtime.sessions.cookie import SessionCookie
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
from realtime.timers.scheduler import TimerScheduler

__all__ = [
    "ABOUT",
    "API",
    "COMMANDS",
    "EVENTS",
    "HTTP_STATUS",
    "MIGRATIONS",
    "REGISTRY",
    "SOS",
    "AnswerClaims",
    "Authenticator",
    "BusItem",
    "Code",
    "Database",
    "LocalLedger",
    "Message",
    "PostgresLedger",
    "Sequencer",
    "SessionCookie",
    "Settings",
    "TimerScheduler",
    "alert_reads",
    "circumstances",
    "connect_driver",
    "derive",
    "driver_settings",
    "is_signed",
    "known_migrations",
    "local_key",
    "main",
    "make_token",
    "migrate",
    "opened",
    "pending",
    "read",
    "read_token",
    "sealed",
    "signing_key",
    "timer_rows",
    "unseal",
]
