"""Answers to a message: the signed token of its link, the words of an SMS, the key on a call. Pure.

A token says which contact of which alert it was given to, until when it counts, and that we made it. Nothing
has to be asked to check it, so it works with every database away.
"""

import base64
import binascii
import hmac
import re
import unicodedata
from enum import StrEnum
from typing import Final
from uuid import UUID

from msgspec import Struct

from alerts.addresses.typed import plain
from alerts.replies.tokens import is_linkable

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


class AnswerClaims(Struct, frozen=True):
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
    START = "start"
    """Wants messages again."""
    OTHER = "other"


def derive(secret: str | bytes, purpose: str) -> bytes:
    """A key of ``secret`` for one purpose alone. Raises ValueError for an empty secret."""
    key = secret.encode() if isinstance(secret, str) else secret
    if not key:
        raise ValueError("the secret is empty")
    return hmac.digest(key, b"wayguard\0" + purpose.encode(), "sha256")


def make_token(secret: str | bytes, alert_id: UUID, contact_id: str, expires_ms: int) -> str:
    """The token of a link: 72 characters for a contact with a UUID, linkable (`alerts.replies.tokens`)."""
    head = alert_id.bytes + (expires_ms // 1000).to_bytes(5)
    try:
        body = bytes([_VERSION_UUID]) + head + UUID(contact_id).bytes
        if str(UUID(contact_id)) != contact_id:
            raise ValueError
    except ValueError:
        body = bytes([_VERSION_NAME]) + head + contact_id.encode()
    tokens = (_encoded(body + _mac(secret, body, number)) for number in range(_MACS))
    return next((token for token in tokens if is_linkable(token)), "") or _encoded(body + _mac(secret, body))


def read_token(secret: str | bytes, text: object, now_ms: int) -> AnswerClaims | None:
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
    return AnswerClaims(
        alert_id, str(UUID(bytes=who)) if body[0] == _VERSION_UUID else who.decode(), expires_ms
    )


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
        *("1", "ok", "o.k", "okay", "okey", "yes", "y", "ack", "ja", "jo", "oui", "si", "sim", "da", "haan"),
        *("one", "eins", "uno", "एक", "हाँ", "हां", "जी", "ठीक", "ठीक है", "on it", "on my way"),
        *("i am on it", "im on it", "i'm on it", "i am coming", "i'm coming", "coming", "ich komme", "voy"),
        *("j'arrive", "vou"),
    ),
    Word.FALSE_ALARM: (
        *("2", "two", "zwei", "dos", "deux", "dois", "दो", "false", "false alarm", "fehlalarm"),
        *("falsa alarma", "fausse alerte", "falso alarme", "alarme falso", "गलत"),
    ),
    Word.HELP: ("help", "info", "aide", "ayuda", "hilfe", "ajuda", "मदद"),
    Word.STOP: (
        *("stop", "st0p", "stop all", "stop it", "unsubscribe", "cancel", "end", "quit", "revoke", "opt out"),
        *("remove", "remove me", "no more", "no more messages", "stop messages", "stop texting me", "stopp"),
        *(
            "abmelden",
            "abbestellen",
            "arret",
            "arreter",
            "desabonner",
            "desinscrire",
            "parar",
            "pare",
            "sair",
        ),
        *("alto", "baja", "cancelar", "बंद", "बंद करो", "रुकें", "रोकें"),
    ),
    Word.START: ("start", "unstop", "opt in", "subscribe", "resubscribe"),
}
_OF_CARRIERS: Final = frozenset(
    (
        *("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"),
        *("start", "unstop", "yes", "help", "info"),
    )
)
"""Whole texts that carriers answer themselves. They send no reply to the other words that opt out or in."""
_POLITE: Final = frozenset({"please", "pls", "bitte", "svp", "s'il vous plait", "por favor", "कृपया"})
"""Said around a word that opts out; an acknowledgement has to stand alone."""
_AROUND: Final = "👍👌✅🙏<>|^*_ " + "".join(chr(0x1F3FB + tone) for tone in range(5))
"""Taken from the ends of a word, as is all punctuation."""
_APART: Final = re.compile(r"[\s,;&/:-]+")
_BELOW: Final = re.compile(r"\s*(?:--|>|sent from|gesendet|envoy|enviado|get outlook)", re.IGNORECASE)
"""How what a phone adds below a text begins: a signature, or the text that is answered."""
_ACCENTS: Final = dict.fromkeys(range(0x300, 0x370))
_MAX_WORDS: Final = 6


def sms_word(text: str) -> Word:
    """What an SMS says, in any of our languages: the whole of it has to be one known word, or several of one
    meaning ("yes, on my way").

    A sentence that begins with one ("ok who is this?") is `OTHER`, since an acknowledgement stops the search
    for somebody who helps. So is a question ("1?").
    """
    first, _, below = text[:1_000].strip().partition("\n")
    said = _said(text[:1_000])
    if said is Word.OTHER and _BELOW.match(below):
        said = _said(first)
    return said


def is_carriers_word(text: str) -> bool:
    """Whether the carrier answers ``text`` itself: the whole of it is one of their words, in any case."""
    return text.strip().lower() in _OF_CARRIERS


def keypress(digits: str) -> Word:
    """What a key on a call says: 1 is on it, 2 is a false alarm."""
    return {"1": Word.ACK, "2": Word.FALSE_ALARM}.get(plain(digits)[:1], Word.OTHER)


def _said(text: str) -> Word:
    folded = _folded(text)
    bare = _trimmed(folded)
    if len(bare) > _MAX_CHARS:
        return Word.OTHER
    said = _COMPACT.get(_APART.sub("", bare)) or _meaning_of(_APART.split(bare))
    if said is Word.ACK and "?" in folded:
        return Word.OTHER
    return said


def _meaning_of(words: list[str]) -> Word:
    """The one meaning that all of ``words`` have, phrase by phrase."""
    parts = [part for word in words if (part := _trimmed(word))]
    if not 0 < len(parts) <= _MAX_WORDS * 2:
        return Word.OTHER
    wanted = [part for part in parts if part not in _POLITE]
    found = _meanings(wanted)
    if len(found) != 1 or (len(wanted) < len(parts) and found != {Word.STOP}):
        return Word.OTHER
    return found.pop()


def _meanings(parts: list[str]) -> set[Word]:
    """The meanings of all phrases in ``parts``, the longest first; `OTHER` among them where one has none."""
    found = set[Word]()
    while parts:
        for length in range(min(_MAX_WORDS, len(parts)), 0, -1):
            if (meaning := _COMPACT.get("".join(parts[:length]))) is not None:
                found.add(meaning)
                parts = parts[length:]
                break
        else:
            return {Word.OTHER}
    return found


def _folded(text: str) -> str:
    """``text`` in plain characters, without case and without the accents of Latin letters."""
    spread = unicodedata.normalize("NFD", plain(text).casefold()).translate(_ACCENTS)
    return unicodedata.normalize("NFC", spread)


def _trimmed(text: str) -> str:
    """``text`` without punctuation at its ends."""
    start, end = 0, len(text)
    while start < end and _is_around(text[start]):
        start += 1
    while end > start and _is_around(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_around(char: str) -> bool:
    return char in _AROUND or unicodedata.category(char).startswith("P")


_COMPACT: Final = {
    _APART.sub("", _folded(word)): meaning for meaning, words in _WORDS.items() for word in words
}
"""Meanings by the word without spaces and hyphens."""
