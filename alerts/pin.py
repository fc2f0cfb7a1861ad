"""A driver's PINs: one that cancels, one that only looks as if it did. Pure; salts are passed in.

Checking takes some tens of milliseconds on purpose: call it away from an event loop.
"""

import hashlib
import hmac
import re
from typing import Final

from alerts.events import PinResult
from alerts.policy import Pins

SALT_BYTES: Final = 16
_PIN: Final = re.compile(r"[0-9]{4,8}", re.ASCII)
_NOBODY: Final = "00" * SALT_BYTES + "$" + "00" * 32


def pins_of(cancel: str | None, duress: str | None, salts: tuple[bytes, bytes]) -> Pins:
    """The hashes of a driver's PINs; ``salts``: 16 random bytes for each. None sets none.

    Raises ValueError when one is no PIN, both are the same, or there is a duress PIN alone.
    """
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
    if not _PIN.fullmatch(pin):
        raise ValueError("a pin is 4 to 8 digits")
    if len(salt) < SALT_BYTES:
        raise ValueError("the salt is too short")
    return f"{salt.hex()}${_scrypt(pin, salt).hex()}"


def checked(typed: object, pins: Pins) -> PinResult:
    """What ``typed`` is. Takes as long for a wrong PIN as for either right one.

    Without a cancel PIN nothing has to be typed: whoever sets none lets anybody with the phone cancel.
    """
    text = typed if isinstance(typed, str) else ""
    if pins.cancel is None:
        return PinResult.RIGHT if not text else PinResult.WRONG
    is_cancel = _matches(text, pins.cancel)
    is_duress = _matches(text, pins.duress or _NOBODY) and pins.duress is not None
    if is_duress:
        return PinResult.DURESS
    return PinResult.RIGHT if is_cancel else PinResult.WRONG


def _matches(typed: str, kept: str) -> bool:
    salt, _, digest = kept.partition("$")
    try:
        expected, seed = bytes.fromhex(digest), bytes.fromhex(salt)
    except ValueError:
        return False
    return hmac.compare_digest(_scrypt(typed[:64], seed), expected)


def _scrypt(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode("utf-8", "replace"), salt=salt, n=1 << 14, r=8, p=1, dklen=32)
