"""The keys of what a process keeps on its own disk, and shows the other processes."""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from alerts.journal.encryption import Broken, seal, sync_folder, unseal, write_whole
from realtime.settings import Settings

__all__ = ["JOURNAL", "Broken", "local_key", "seal", "sync_folder", "unseal", "write_whole"]

JOURNAL: Final = "journal"
"""The purpose of the key that seals the journal, and the copies of it that processes show each other."""


def local_key(settings: Settings, purpose: str) -> bytes:
    """32 bytes made of the key of the alerts (HKDF-SHA256), different for each purpose.

    The same in every process. Raises ValueError when there is no secret.
    """
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"wayguard {purpose}".encode())
    return kdf.derive(settings.alerts_key.encode())
