"""What follows from a provider's answer to one attempt: it moves, and a retry may follow. Pure."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from alerts.attempt import (
    Accepted,
    Attempt,
    Outcome,
    Permanent,
    Purpose,
    Retryable,
    Status,
    Unsure,
    attempt_id_of,
    moved_on,
    rank,
)

MAX_TRIES: Final = {
    Purpose.ALERT: 6,
    Purpose.ALL_CLEAR: 20,
    Purpose.CLOSED: 20,
    Purpose.ON_IT: 2,
    Purpose.REMINDER: 3,
    Purpose.EXHAUSTED: 10,
    Purpose.CODE: 2,
    Purpose.TEST: 2,
}
"""So often one message is tried by one channel; the loops of a policy begin anew."""
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
LONGEST_OBEYED_S: Final = {Purpose.ALERT: 30.0, Purpose.EXHAUSTED: 60.0}
"""A provider that asks for more than this is asked again after this: an SOS cannot wait for it longer."""
USUAL_OBEYED_S: Final = 600.0
LOOK_UP_AFTER_MS: Final = 2_000
"""What a provider is given to show a message whose reply was lost, before it is looked up."""


def settle(
    attempt: Attempt, outcome: Outcome, now_ms: int, jitter: Callable[[], float]
) -> tuple[Attempt, Attempt | None]:
    """A try came to ``outcome``: the attempt as it is now, and the retry that follows, if one does.

    There are four cases:

    1. Accepted: it is sent, or delivered.
    2. Permanent: it has failed.
    3. Retryable: it has failed; a new one follows after a pause, until `MAX_TRIES`.
    4. Unsure: it stays, to be looked up soon. When a repeat is unsure as well, it has failed, and 3 holds.
    """
    if isinstance(outcome, Accepted):
        return _accepted(attempt, outcome, now_ms), None
    if rank(attempt.status) > rank(Status.UNSURE):
        return attempt, None  # a callback or an answer overtook the reply
    if isinstance(outcome, Permanent):
        return _free(moved_on(attempt, Status.FAILED, now_ms, reason=outcome.reason)), None
    if isinstance(outcome, Retryable):
        failed = moved_on(attempt, Status.FAILED, now_ms, reason=outcome.reason)
        pause_s = pause_of(attempt, outcome.retry_after_s, jitter())
        return failed, _retry(attempt, now_ms + int(pause_s * 1000), now_ms)
    if not (attempt.repeat or outcome.repeat):
        return _unsure(attempt, outcome, now_ms), None
    failed = moved_on(attempt, Status.FAILED, now_ms, reason="unsure")
    failed = replace(failed, repeat=True, sent_ms=failed.sent_ms or now_ms)
    retry = _retry(attempt, now_ms + int(pause_of(attempt, None, jitter()) * 1000), now_ms)
    return failed, None if retry is None else replace(retry, repeat=True)


def pause_of(attempt: Attempt, retry_after_s: float | None, chance: float) -> float:
    """Seconds until the next try: in the upper half of 1, 2, 4 …, where in it by ``chance``.

    Longer when the provider asks for that, as long as an SOS can wait.
    """
    longest_s = min(FIRST_RETRY_S * 2.0 ** (attempt.number - 1), LONGEST_RETRY_S)
    pause_s = longest_s * (0.5 + chance / 2)
    if retry_after_s is None:
        return pause_s
    obeyed_s = min(retry_after_s, LONGEST_OBEYED_S.get(attempt.purpose, USUAL_OBEYED_S))
    return max(pause_s, obeyed_s + chance * FIRST_RETRY_S)


def _accepted(attempt: Attempt, outcome: Accepted, now_ms: int) -> Attempt:
    status = Status.DELIVERED if outcome.delivered else Status.SENT
    moved = moved_on(attempt, status, now_ms, said=outcome.status)
    return _free(
        replace(
            moved,
            provider_id=outcome.provider_id if moved.provider_id is None else moved.provider_id,
            repeat=attempt.repeat or outcome.repeat,
            sent_ms=now_ms if moved.sent_ms is None else moved.sent_ms,
        )
    )


def _unsure(attempt: Attempt, outcome: Unsure, now_ms: int) -> Attempt:
    return _free(
        replace(
            attempt,
            status=Status.UNSURE,
            reason=outcome.reason,
            sent_ms=now_ms if attempt.sent_ms is None else attempt.sent_ms,
            due_ms=now_ms + LOOK_UP_AFTER_MS,
        )
    )


def _retry(attempt: Attempt, due_ms: int, now_ms: int) -> Attempt | None:
    number = attempt.number + 1
    if number > MAX_TRIES[attempt.purpose]:
        return None
    a = attempt
    return Attempt(
        attempt_id=attempt_id_of(a.alert_id, a.purpose, a.round, a.step, a.contact_id, a.channel, number),
        alert_id=a.alert_id,
        tenant=a.tenant,
        purpose=a.purpose,
        round=a.round,
        step=a.step,
        contact_id=a.contact_id,
        channel=a.channel,
        number=number,
        status=Status.DUE,
        due_ms=due_ms,
        created_ms=now_ms,
        beside=a.beside,
    )


def _free(attempt: Attempt) -> Attempt:
    return replace(attempt, lease_by=None, lease_until_ms=None)
