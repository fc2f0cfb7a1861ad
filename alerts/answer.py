"""Answers to a message: the signed token of its link, the words of an SMS, the key on a call. Pure.

A token says which contact of which alert it was given to, until when it counts, and that we made it. Nothing
has to be asked to check it, so it works with every database away.
"""

import base64
import binascii
import hmac
from enum import StrEnum
from typing import Final
from uuid import UUID

from msgspec import Struct

from alerts.tokens import is_linkable

_VERSION_UUID: Final = 1
_VERSION_NAME: Final = 2
_MAC_BYTES: Final = 16
_HEAD_BYTES: Final = 1 + 16 + 5
_MAX_CHARS: Final = 200
_LINKS: Final = "answer-link"
_MACS: Final = 8
"""A token that would end in - or _, as one in 32 would, is signed with the next of these keys. With
all of them one token in a million million would.
"""


class Answer(Struct, frozen=True):
    """Who may answer for which alert, until when."""

    alert_id: UUID
    contact_id: str
    expires_ms: int


class Word(StrEnum):
    """What a reply means."""

    ACK = "ack"
    FALSE_ALARM = "false_alarm"
    HELP = "help"
    """Wants to know what this is. The word belongs to the carriers, as does `STOP`."""
    STOP = "stop"
    """Wants no more messages."""
    OTHER = "other"


def derive(secret: str | bytes, purpose: str) -> bytes:
    """A key of ``secret`` for one purpose alone. Raises ValueError for an empty secret."""
    key = secret.encode() if isinstance(secret, str) else secret
    if not key:
        raise ValueError("the secret is empty")
    return hmac.digest(key, b"wayguard\0" + purpose.encode(), "sha256")


def make_token(secret: str | bytes, alert_id: UUID, contact_id: str, expires_ms: int) -> str:
    """The token of a link: 72 characters for a contact with a UUID, linkable (`alerts.tokens`)."""
    head = alert_id.bytes + (expires_ms // 1000).to_bytes(5)
    try:
        body = bytes([_VERSION_UUID]) + head + UUID(contact_id).bytes
        if str(UUID(contact_id)) != contact_id:
            raise ValueError
    except ValueError:
        body = bytes([_VERSION_NAME]) + head + contact_id.encode()
    tokens = (_encoded(body + _mac(secret, body, number)) for number in range(_MACS))
    return next((token for token in tokens if is_linkable(token)), "") or _encoded(body + _mac(secret, body))


def read_token(secret: str | bytes, text: object, now_ms: int) -> Answer | None:
    """What a token says; None when it is not ours, is changed, or is over.

    A token from before there were several keys, which may end in - or _, counts as well.
    """
    raw = _decoded(text)
    if raw is None or len(raw) <= _HEAD_BYTES + _MAC_BYTES:
        return None
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not any(hmac.compare_digest(mac, _mac(secret, body, number)) for number in range(_MACS)):
        return None
    alert_id, expires_ms = UUID(bytes=body[1:17]), int.from_bytes(body[17:_HEAD_BYTES]) * 1000
    if expires_ms <= now_ms:
        return None
    who = body[_HEAD_BYTES:]
    return Answer(alert_id, str(UUID(bytes=who)) if body[0] == _VERSION_UUID else who.decode(), expires_ms)


def _mac(secret: str | bytes, body: bytes, number: int = 0) -> bytes:
    purpose = _LINKS if number == 0 else f"{_LINKS}-{number}"
    return hmac.digest(derive(secret, purpose), body, "sha256")[:_MAC_BYTES]


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: object) -> bytes | None:
    """The bytes of a token that is written as we write it: there is one way to write each."""
    if not isinstance(text, str) or len(text) > _MAX_CHARS or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if _encoded(raw) == text else None


# --- words and keys

_WORDS: Final[dict[Word, tuple[str, ...]]] = {
    Word.ACK: (
        *("1", "ok", "okay", "okey", "yes", "y", "ack", "ja", "jo", "oui", "si", "sí", "sim", "da", "haan"),
        *("हाँ", "हां", "जी", "ठीक", "on it", "on my way", "i am on it", "im on it", "coming", "ich komme"),
        *("voy", "j'arrive", "j’arrive", "vou"),
    ),
    Word.FALSE_ALARM: (
        *("2", "false", "false alarm", "fehlalarm", "falsa alarma", "fausse alerte", "falso alarme"),
        *("alarme falso", "गलत"),
    ),
    Word.HELP: ("help", "info", "aide", "ayuda", "hilfe", "ajuda", "मदद"),
    Word.STOP: (
        *("stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "stopp", "arret", "arrêt"),
        *("parar", "alto", "बंद", "रुकें"),
    ),
}
_MEANING: Final = {word: meaning for meaning, words in _WORDS.items() for word in words}
_AROUND: Final = " .,!¡¿?\"'()*#"


def sms_word(text: str) -> Word:
    """What an SMS says, in any of our languages: the whole of it has to be one known word.

    A sentence that begins with one ("ok who is this?") is `OTHER`, since an acknowledgement stops the search
    for somebody who helps.
    """
    plain = " ".join(text[:200].casefold().split()).strip(_AROUND)
    return _MEANING.get(plain, Word.OTHER)


def keypress(digits: str) -> Word:
    """What a key on a call says: 1 is on it, 2 is a false alarm."""
    return {"1": Word.ACK, "2": Word.FALSE_ALARM}.get(digits.strip()[:1], Word.OTHER)
