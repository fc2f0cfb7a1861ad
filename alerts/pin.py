"""A driver's PINs: one that cancels, one that only looks as if it did. Pure; salts are passed in.

Checking takes some tens of milliseconds on purpose: call it away from an event loop.
"""

import hashlib
import hmac
import re
from typing import Final, NamedTuple

from alerts.addresses.typed import digits_of
from alerts.events import PinResult
from alerts.policy import Pins

SALT_BYTES: Final = 16
_MAX_TYPED_CHARS: Final = 64
_PIN: Final = re.compile(r"[0-9]{4,8}", re.ASCII)
_MASKED: Final = b"\x01"
_MASKED_SHOWN_UNSET: Final = b"\x02"
"""First byte of the salt of a masked duress PIN: whether the driver's screens show that a PIN is set."""
_DIGEST_BYTES: Final = 32
_EARLIER_SHOWN_UNSET: Final = "$-"
"""End of a masked hash of an earlier release whose driver's screens show that no PIN is set."""


def pins_of(cancel: str | None, duress: str | None, salts: tuple[bytes, bytes]) -> Pins:
    """The hashes of a driver's PINs; ``salts``: 16 random bytes for each. None sets none.

    Raises ValueError when one is no PIN, both are the same, or there is a duress PIN alone.
    """
    cancel, duress = _chosen(cancel, duress)
    first = _hash(cancel or "", salts[0])  # also for none, as `masked_pins` does
    return Pins(None if cancel is None else first, None if duress is None else _hash(duress, salts[1]))


def hashed(pin: str, salt: bytes) -> str:
    """``pin`` as it is stored: ``salt$hash`` in hexadecimal. Raises ValueError when it is no PIN."""
    return _hash(_as_pin(pin), salt)


def masked_pins(known: Pins, cancel: str | None, duress: str | None, salt: bytes) -> Pins:
    """Return the PINs after the duress PIN was given to change them to ``cancel`` and ``duress``.

    The driver's own PIN stays. Each PIN that was chosen now is a duress PIN: it seems to end an alert, as it
    would after a change. Where none was chosen that is the empty PIN, and `is_set_as_shown` is False.
    ``salt``: 16 random bytes. Takes as long as `pins_of` and raises ValueError as it does.

    Stored is ``salt$hash`` as of one duress PIN, so that every release takes the first chosen PIN (or the
    empty one) for it. What only this release knows is in the salt, which earlier ones use as it is: a byte
    that says what the screens show, ``salt``, and the second chosen PIN hashed by the salt of
    ``known.cancel``.
    """
    cancel, duress = _chosen(cancel, duress)
    own = _parsed(known.cancel)
    second = b"" if duress is None else _scrypt(duress, own.salt)
    form = _MASKED_SHOWN_UNSET if cancel is None else _MASKED
    return Pins(known.cancel, _hash(cancel or "", form + salt + second))


def is_set_as_shown(pins: Pins) -> bool:
    """Whether the driver's screens show that a PIN is set. After `masked_pins` it is what was chosen then."""
    return pins.cancel is not None and not _parsed(pins.duress).is_shown_unset


def is_changed_under_duress(pins: Pins) -> bool:
    """Whether the last change was by a duress PIN, as by `masked_pins`.

    False also after one to a single PIN that an earlier release stored: its hash has no mark.
    """
    return pins.cancel is not None and _parsed(pins.duress).is_masked


def checked(typed: object, pins: Pins) -> PinResult:
    """What ``typed`` is. Takes as long for a wrong PIN as for either right one, and as long without PINs.

    Without a cancel PIN nothing has to be typed: a driver who sets none lets everyone with the phone cancel.
    """
    text = typed[:_MAX_TYPED_CHARS] if isinstance(typed, str) else ""
    text = digits_of(text) or text  # never empty for other signs: the empty PIN may be a duress PIN
    own, duress = _parsed(pins.cancel), _parsed(pins.duress)
    found = _scrypt(text, own.salt)
    found_as_duress = _scrypt(text, duress.salt)
    is_cancel = _is_one_of(found, own.digests)
    is_duress = _is_one_of(found_as_duress, duress.digests) | _is_one_of(found, (duress.second,))
    if pins.cancel is None:
        return PinResult.RIGHT if not text else PinResult.WRONG
    if is_duress:
        return PinResult.DURESS
    return PinResult.RIGHT if is_cancel else PinResult.WRONG


class _Stored(NamedTuple):
    """A stored hash. Masked hashes of earlier releases have several ``digests`` and no ``second``."""

    salt: bytes
    digests: tuple[bytes, ...] = ()
    second: bytes = b""
    """Of the second chosen duress PIN, by the salt of the cancel PIN; empty: none."""
    is_masked: bool = False
    is_shown_unset: bool = False


_NONE: Final = _Stored(bytes(SALT_BYTES))


def _parsed(stored: str | None) -> _Stored:
    """Read ``stored``; what is none matches no PIN, but is compared as long."""
    if stored is None:
        return _NONE
    text = stored.removesuffix(_EARLIER_SHOWN_UNSET)
    try:
        salt, *digests = (bytes.fromhex(part) for part in text.split("$"))
    except ValueError:
        return _NONE
    is_shown_unset = text != stored
    second = salt[1 + SALT_BYTES :]
    form = salt[:1] if len(salt) > SALT_BYTES and len(second) in (0, _DIGEST_BYTES) else b""
    if form in (_MASKED, _MASKED_SHOWN_UNSET):
        return _Stored(salt, tuple(digests), second, True, form == _MASKED_SHOWN_UNSET)
    return _Stored(salt, tuple(digests), b"", is_shown_unset or len(digests) > 1, is_shown_unset)


def _is_one_of(found: bytes, digests: tuple[bytes, ...]) -> bool:
    return any(hmac.compare_digest(found, digest) for digest in digests)


def _chosen(cancel: str | None, duress: str | None) -> tuple[str | None, str | None]:
    """Both PINs in ASCII digits. Raises ValueError as `pins_of` does."""
    chosen = tuple(None if pin is None else _as_pin(pin) for pin in (cancel, duress))
    if chosen[1] is not None and chosen[0] is None:
        raise ValueError("a duress pin needs a cancel pin")
    if chosen[1] is not None and chosen[1] == chosen[0]:
        raise ValueError("the duress pin is the cancel pin")
    return chosen[0], chosen[1]


def _as_pin(pin: str) -> str:
    pin = digits_of(pin) or pin
    if not _PIN.fullmatch(pin):
        raise ValueError("a pin is 4 to 8 digits")
    return pin


def _hash(pin: str, salt: bytes) -> str:
    if len(salt) < SALT_BYTES:
        raise ValueError("the salt is too short")
    return f"{salt.hex()}${_scrypt(pin, salt).hex()}"


def _scrypt(pin: str, salt: bytes) -> bytes:
    typed = pin[:_MAX_TYPED_CHARS].encode("utf-8", "replace")
    return hashlib.scrypt(typed, salt=salt, n=1 << 14, r=8, p=1, dklen=_DIGEST_BYTES)
