"""What a process keeps on its own disk: encrypted, and there as a whole or not at all."""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class Broken(ValueError):
    """Not what was sealed by this key under this name."""


def seal(key: bytes, name: str, content: bytes) -> bytes:
    """``content`` encrypted (AES-256-GCM), so that it opens under ``name`` alone."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, name.encode())


def unseal(key: bytes, name: str, sealed: bytes) -> bytes:
    """What was sealed. Raises Broken."""
    if len(sealed) <= _NONCE_BYTES:
        raise Broken("too short")
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
    except InvalidTag as error:
        raise Broken("not sealed by this key") from error


def write_whole(file: Path, content: bytes) -> None:
    """Put ``content`` in the place of ``file``, durably, readable by us alone. Raises OSError. Blocks."""
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Make what was renamed or removed in ``folder`` durable. Raises OSError. Blocks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
