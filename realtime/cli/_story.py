"""An alert told step by step: what was raised, who was tried, what they said, what it waits for. Pure.

What people wrote is put on the line that says who wrote it: no note looks like a line of ours.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from alerts.addresses.destination import named
from alerts.alert import ActorKind, Alert, Place, State
from alerts.attempt import Attempt, Channel, Purpose, Status
from alerts.case import Audit
from alerts.policy import Contact, PolicyCopy, Source, addressee, everyone
from alerts.words.clean import clean
from realtime.store.alerts.console import Standing
from realtime.store.alerts.reads import Explanation

DETAIL_CHARS: Final = 1_000
_UNSENT: Final = frozenset({Status.DUE, Status.SENDING, Status.UNSURE})


class Line(NamedTuple):
    """Something that happened. ``good``: None when it is neither good nor bad."""

    at_ms: int
    text: str
    good: bool | None = None


def clock(at_ms: int) -> str:
    """``at_ms`` as a time of day, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")


def moment(at_ms: int) -> str:
    """``at_ms`` as a date and a time, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(ms: int) -> str:
    """A duration, short."""
    seconds = abs(ms) // 1000
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7_200 else f"{seconds // 3600} h"


def headline(alert: Alert) -> str:
    """What it is, in one line."""
    parts = [
        f"{alert.kind.value} of driver {alert.driver}",
        f"vendor {alert.vendor}",
        f"tenant {alert.tenant}",
    ]
    parts += [word for word, holds in (("DRILL", alert.drill), ("silent", alert.silent)) if holds]
    parts += ["DURESS: its cancelling was forced"] if alert.duress else []
    return ", ".join(parts)


def raised(explanation: Explanation) -> list[str]:
    """What was pressed, where, and what was noted of it."""
    alert = explanation.alert
    late_ms = alert.raised_ms - alert.pressed_ms
    lines = [f"pressed {moment(alert.pressed_ms)}, raised {moment(alert.raised_ms)}"]
    if late_ms > 5_000:
        lines.append(f"it reached us {span(late_ms)} after it was pressed")
    if alert.presses > 1:
        lines.append(f"pressed {alert.presses} times")
    if alert.place is not None:
        lines.append(_where(alert.place))
    if alert.journey_id is not None:
        lines.append(f"on journey {alert.journey_id}")
    if alert.message:
        lines.append(f"message: {alert.message}")
    noted = sorted({note for press in explanation.presses for note in press.noted})
    if noted:
        lines.append(f"noted of the presses: {', '.join(noted)}")
    return lines


def _where(place: Place) -> str:
    parts = [
        f"at {place.lat:.5f}, {place.lon:.5f}",
        "" if place.accuracy_m is None else f"± {place.accuracy_m:.0f} m",
        "of unknown age" if place.t_ms is None else f"seen {moment(place.t_ms)}",
        f"from {place.source}" if place.source else "",
    ]
    return ", ".join(part for part in parts if part)


def plan(copy: PolicyCopy) -> list[str]:
    """The policy that the alert took along."""
    contacts = everyone(copy)
    names = {contact_id: contact.name for contact_id, contact in contacts.items()}
    lines = [] if copy.source is Source.POSTGRES else [_origin(copy)]
    for number, step in enumerate(copy.policy.steps, 1):
        who = "everybody" if "*" in step.contacts else ", ".join(names.get(c, c) for c in step.contacts)
        line = f"step {number}: {who} by {_listed(step.channels)}; then wait {step.wait_s} s"
        if step.fallback:
            line += f"; by {_listed(step.fallback)} at once where those fail"
        lines.append(line)
    return [*lines, f"all of it up to {copy.policy.loops} times"]


def _origin(copy: PolicyCopy) -> str:
    age = "none had been read before" if copy.age_ms is None else f"{span(copy.age_ms)} old"
    done = "completed from Postgres since" if copy.is_complete else "not completed from Postgres yet"
    return f"contacts and policy are from a local copy ({age}); {done}"


def happened(explanation: Explanation) -> list[Line]:
    """Everything so far, in the order of time."""
    lines = [_audited(audit) for audit in explanation.audit]
    for attempt in explanation.attempts:
        lines += _tried(attempt, whom(attempt, explanation.copy))
    return sorted(lines, key=lambda line: line.at_ms)


def left_out(explanation: Explanation) -> str:
    """What to say where attempts or events are older than those that were read; empty when these are all."""
    cut = {
        "attempts": (explanation.earlier_attempts, len(explanation.attempts)),
        "events": (explanation.earlier_audit, len(explanation.audit)),
    }
    parts = [f"the newest {count} {what}" for what, (earlier, count) in cut.items() if earlier is not None]
    return f"{' and '.join(parts)}; earlier ones are not shown: --history shows more" if parts else ""


def waits(standing: Standing) -> list[str]:
    """What it waits for, and why."""
    alert, now_ms = standing.explanation.alert, standing.now_ms
    if alert.closed_ms is not None:
        by = "" if alert.closed_by is None else f" by {alert.closed_by.name or alert.closed_by.id}"
        return [f"closed {moment(alert.closed_ms)}{by}: nothing more is done", *_coming(standing)]
    lines = []
    match alert.state:
        case State.PENDING if alert.pending_until_ms is not None:
            lines.append(
                f"counting down, active {_then(alert.pending_until_ms, now_ms)}; a PIN still cancels it"
            )
        case State.ACKNOWLEDGED if alert.acknowledged_by is not None:
            silence_s = standing.explanation.copy.policy.ack_silence_s
            heard_ms = alert.heard_ms or alert.acknowledged_ms or now_ms
            back = _then(heard_ms + silence_s * 1000, now_ms)
            who = alert.acknowledged_by.name or alert.acknowledged_by.id
            lines.append(f"{who} is on it; active again {back} unless they are heard")
        case State.ACTIVE if alert.exhausted_ms is not None:
            lines.append(
                f"exhausted since {clock(alert.exhausted_ms)}: {alert.exhausted_reason}; only an answer helps"
            )
        case State.ACTIVE:
            lines.append("active: somebody is being looked for")
    if alert.reached_ms is None:
        lines.append("no message is known to have arrived anywhere")
    lines += _coming(standing)
    if standing.next_ms is not None:
        lines.append(f"escalation looks at it again {_then(standing.next_ms, now_ms)}")
    return lines


def whom(attempt: Attempt, copy: PolicyCopy) -> str:
    """The contact of ``attempt``, its address mostly hidden."""
    contact = addressee(copy, attempt.contact_id, attempt.channel)
    if contact is None:
        return attempt.contact_id
    address = _address(contact, attempt.channel)
    name = named(copy, attempt.contact_id, attempt.channel) or contact.contact_id
    return f"{name} ({address})" if address else name


def _address(contact: Contact, channel: Channel) -> str:
    match channel:
        case Channel.SMS | Channel.CALL if contact.phone:
            return f"…{contact.phone[-3:]}"
        case Channel.EMAIL if contact.email:
            name, _, domain = contact.email.partition("@")
            return f"{name[:1]}…@{domain}"
        case Channel.PUSH:
            return f"{len(contact.push_tokens)} devices"
    return ""


def _audited(audit: Audit) -> Line:
    actor = audit.actor.name or audit.actor.id
    who = "" if audit.actor.kind is ActorKind.SYSTEM else f" by {audit.actor.kind.value} {actor}"
    said = (
        (key, clean(str(value), DETAIL_CHARS)) for key, value in audit.detail.items() if value is not None
    )
    detail = ", ".join(f"{key} {text}" for key, text in said if text)
    arrow = f" [{audit.arrow}]" if audit.arrow else ""
    return Line(audit.at_ms, f"{audit.what}{who}{arrow}{f': {detail}' if detail else ''}")


def _tried(attempt: Attempt, who: str) -> Iterator[Line]:
    what = f"{attempt.channel.value} to {who}"
    if attempt.purpose is not Purpose.ALERT:
        what = f"{attempt.purpose.value} by {what}"
    if attempt.number > 1:
        what += f", try {attempt.number}"
    if attempt.repeat:
        what += ", a repeat"
    by = attempt.provider or "nobody"
    if attempt.sent_ms is not None and attempt.status is Status.FAILED and attempt.provider_id is None:
        yield Line(attempt.sent_ms, f"{what}: handed to {by}, which never said that it has it")
    elif attempt.sent_ms is not None:
        took = f", {span(attempt.sent_ms - attempt.due_ms)} after it was due"
        yield Line(attempt.sent_ms, f"{what}: {by} has it{_said(attempt)}{took}", good=True)
    if attempt.delivered_ms is not None:
        yield Line(attempt.delivered_ms, f"{what}: arrived", good=True)
    if attempt.status is Status.FAILED:
        at_ms = attempt.settled_ms or attempt.due_ms
        yield Line(at_ms, f"{what}: failed by {by}: {attempt.reason}{_said(attempt)}", good=False)


def _said(attempt: Attempt) -> str:
    said = " ".join(part for part in (attempt.provider_status, attempt.provider_id) if part)
    return f" ({said})" if said else ""


def _coming(standing: Standing) -> Iterator[str]:
    for attempt in standing.explanation.attempts:
        if attempt.status not in _UNSENT:
            continue
        what = f"{attempt.channel.value} to {whom(attempt, standing.explanation.copy)}"
        why = f" after {attempt.reason}" if attempt.reason else ""
        match attempt.status:
            case Status.DUE:
                yield f"{what} is due {_then(attempt.due_ms, standing.now_ms)}{why}"
            case Status.SENDING:
                until = "" if attempt.lease_until_ms is None else f" until {clock(attempt.lease_until_ms)}"
                yield f"{what} is with {attempt.lease_by}{until}, then anybody's"
            case _:
                asked = _then(attempt.due_ms, standing.now_ms)
                yield f"{what} may have been sent{why}: the provider is asked {asked}"


def _then(at_ms: int, now_ms: int) -> str:
    if at_ms <= now_ms:
        return f"now ({span(now_ms - at_ms)} overdue)" if now_ms - at_ms > 2_000 else "now"
    return f"at {clock(at_ms)} (in {span(at_ms - now_ms)})"


def _listed(channels: tuple[Channel, ...]) -> str:
    return ", ".join(channel.value for channel in channels)
