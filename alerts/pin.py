"""A driver's PINs: one that cancels, one that only looks as if it did. Pure; salts are passed in.

Checking takes some tens of milliseconds on purpose: call it away from an event loop.
"""

import hashlib
import hmac
import re
from typing import Final

from alerts.addresses.typed import digits_of
from alerts.events import PinResult
from alerts.policy import Pins

SALT_BYTES: Final = 16
_MAX_TYPED_CHARS: Final = 64
_PIN: Final = re.compile(r"[0-9]{4,8}", re.ASCII)
_NO_HASH: Final = "00" * SALT_BYTES + "$" + "00" * 32
_SHOWN_UNSET: Final = "-"
"""Last among the parts of a duress hash: the driver's screens show that no PIN is set."""


def pins_of(cancel: str | None, duress: str | None, salts: tuple[bytes, bytes]) -> Pins:
    """The hashes of a driver's PINs; ``salts``: 16 random bytes for each. None sets none.

    Raises ValueError when one is no PIN, both are the same, or there is a duress PIN alone.
    """
    cancel, duress = _as_digits(cancel), _as_digits(duress)
    if duress is not None and cancel is None:
        raise ValueError("a duress pin needs a cancel pin")
    if duress is not None and duress == cancel:
        raise ValueError("the duress pin is the cancel pin")
    return Pins(
        None if cancel is None else hashed(cancel, salts[0]),
        None if duress is None else hashed(duress, salts[1]),
    )


def hashed(pin: str, salt: bytes) -> str:
    """``pin`` as it is kept: ``salt$hash`` in hexadecimal. Raises ValueError when it is no PIN."""
    pin = digits_of(pin) or pin
    if not _PIN.fullmatch(pin):
        raise ValueError("a pin is 4 to 8 digits")
    if len(salt) < SALT_BYTES:
        raise ValueError("the salt is too short")
    return f"{salt.hex()}${_scrypt(pin, salt).hex()}"


def masked_pins(known: Pins, cancel: str | None, duress: str | None, salt: bytes) -> Pins:
    """Return the PINs after the duress PIN was given to change them to ``cancel`` and ``duress``.

    The driver's own PIN stays. Each PIN that was chosen now is a duress PIN: it seems to end an alert, as it
    would after a change. Where none was chosen that is the empty PIN, and `is_set_as_shown` is False.
    ``salt``: 16 random bytes. Raises ValueError as `pins_of` does.
    """
    cancel, duress = _as_digits(cancel), _as_digits(duress)
    pins_of(cancel, duress, (salt, salt))
    chosen = [cancel or ""] if duress is None else [cancel or "", duress]
    parts = [salt.hex(), *(_scrypt(one, salt).hex() for one in chosen)]
    if cancel is None:
        parts.append(_SHOWN_UNSET)
    return Pins(known.cancel, "$".join(parts))


def is_set_as_shown(pins: Pins) -> bool:
    """Whether the driver's screens show that a PIN is set. After `masked_pins` it is what was chosen then."""
    if pins.cancel is None:
        return False
    return pins.duress is None or not pins.duress.endswith("$" + _SHOWN_UNSET)


def checked(typed: object, pins: Pins) -> PinResult:
    """What ``typed`` is. Takes as long for a wrong PIN as for either right one, and as long without PINs.

    Without a cancel PIN nothing has to be typed: a driver who sets none lets everyone with the phone cancel.
    """
    text = typed[:_MAX_TYPED_CHARS] if isinstance(typed, str) else ""
    text = digits_of(text) or text  # never empty for other signs: the empty PIN may be a duress PIN
    is_cancel = _matches(text, pins.cancel or _NO_HASH)
    is_duress = _matches(text, pins.duress or _NO_HASH) and pins.duress is not None
    if pins.cancel is None:
        return PinResult.RIGHT if not text else PinResult.WRONG
    if is_duress:
        return PinResult.DURESS
    return PinResult.RIGHT if is_cancel else PinResult.WRONG


def _as_digits(pin: str | None) -> str | None:
    return None if pin is None else digits_of(pin) or pin


def _matches(typed: str, kept: str) -> bool:
    """Whether ``typed`` is one of the PINs of ``kept``: a salt, then hashes. One scrypt, however many."""
    salt, *digests = kept.removesuffix("$" + _SHOWN_UNSET).split("$")
    try:
        expected, seed = [bytes.fromhex(digest) for digest in digests], bytes.fromhex(salt)
    except ValueError:
        return False
    found = _scrypt(typed[:64], seed)
    return any(hmac.compare_digest(found, one) for one in expected)


def _scrypt(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode("utf-8", "replace"), salt=salt, n=1 << 14, r=8, p=1, dklen=32)
