"""The signed links by which people answer, and what each tells of the attempt that it was sent with. Pure."""

import re
from typing import Final
from uuid import UUID

from alerts.ports import DeliveryJob
from alerts.replies.answer import make_token, read_token

VALID_MS: Final = 7 * 86_400_000
"""At least so long from when the alert was raised."""
SPREAD_S: Final = 1 << 20
"""Twelve days: an attempt's own second in them is when its link's validity ends."""
_TOKEN: Final = re.compile(r"/a#([A-Za-z0-9_-]+)")


class AnswerLinks:
    """Links under ``public_url``, signed with ``key``."""

    def __init__(self, key: str | bytes, public_url: str) -> None:
        self._key: Final = key
        self._base: Final = f"{public_url.rstrip('/')}/a#"

    def of(self, job: DeliveryJob) -> str:
        """The link by which the contact of ``job`` answers; no two attempts have the same."""
        until_ms = valid_until_ms(job.alert.raised_ms, job.attempt.attempt_id)
        return self._base + make_token(self._key, job.alert.alert_id, job.contact.contact_id, until_ms)

    def is_in(self, job: DeliveryJob, text: str) -> bool:
        """Whether ``text`` was sent for the attempt of ``job``, whoever wrote it: two processes that took one
        press without knowing of each other do not agree on when the alert was raised.
        """
        for token in _TOKEN.findall(text):
            found = read_token(self._key, token, 0)
            if (
                found is not None
                and (found.alert_id, found.contact_id) == (job.alert.alert_id, job.contact.contact_id)
                and found.expires_ms // 1000 % SPREAD_S == _own_s(job.attempt.attempt_id)
            ):
                return True
        return False


def valid_until_ms(raised_ms: int, attempt_id: UUID) -> int:
    """When the link of an attempt ends: after `VALID_MS`, as soon as the attempt's own second comes."""
    least_s = -(-(raised_ms + VALID_MS) // 1000)
    return (least_s + (_own_s(attempt_id) - least_s) % SPREAD_S) * 1000


def _own_s(attempt_id: UUID) -> int:
    return attempt_id.int % SPREAD_S
