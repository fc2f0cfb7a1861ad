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
from realtime.store.journeys.shares import is_signed, signing_key

__all__ = [
    "ABOUT",
    "API",
    "COMMANDS",
    "EVENTS",
    "HTTP_STATUS",
    "REGISTRY",
    "SOS",
    "AnswerClaims",
    "Authenticator",
    "BusItem",
    "Code",
    "LocalLedger",
    "Message",
    "Sequencer",
    "SessionCookie",
    "Settings",
    "derive",
    "is_signed",
    "local_key",
    "main",
    "make_token",
    "opened",
    "read",
    "read_token",
    "sealed",
    "signing_key",
    "unseal",
]
