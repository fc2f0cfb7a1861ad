"""Names in Redis of sessions and pairing codes.

Each is one key's business (no command and no script names two), so every tag may be a slot of its own and a
Cluster spreads them. Subjects are hashed: they may hold anything printable, a tag of another key too.
"""

import hashlib


def session_key(session_id: str) -> str:
    """The record of one session; lives as long as it does."""
    return f"wg:{{session/{session_id}}}:of"


def tenant_index(tenant: str) -> str:
    """Sorted set of a tenant's session ids by when they expire."""
    return f"wg:{{sessions/{tenant}}}:by-end"


def subject_index(tenant: str, sub: str) -> str:
    """Sorted set of one subject's session ids by when they began."""
    return f"wg:{{sessions/{tenant}/{digest(sub)}}}:by-begin"


def pairing_key(code: str) -> str:
    """What a pairing code is good for. The code itself is nowhere."""
    return f"wg:{{pairing/{digest(code)}}}:for"


def digest(text: str) -> str:
    """What stands for a secret where it is kept: it is long and random, so that nothing slower is needed."""
    return hashlib.sha256(text.encode()).hexdigest()
