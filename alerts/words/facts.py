"""What a message can say of a job, worded in one language: who, when, where. Pure."""

from datetime import UTC, datetime
from datetime import timezone as fixed_zone
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from alerts.alert import Alert, Kind, Place
from alerts.location import is_inexact, is_old
from alerts.ports import DeliveryJob
from alerts.words.clean import clean
from alerts.words.language import Words, words_of

NAME_CHARS: Final = 60
ADDRESS_CHARS: Final = 140
MESSAGE_CHARS: Final = 500
LATE_MS: Final = 120_000
"""A press that took longer than this to reach us is said to be late."""
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000


class Facts(Struct, frozen=True):
    """Everything cleaned and bounded; empty where there is nothing to say."""

    words: Words
    driver: str
    contact: str
    when: str
    spoken_when: str
    late: str
    address: str
    coordinates: str
    position_of: str
    """How old and how exact the position is."""
    position_notice: str
    """The same where a text has to say it: older than a minute, of unknown age, worse than 100 m."""
    spoken_position: str
    spoken_notice: str
    message: str
    by: str
    silent: bool
    drill: bool


def facts_of(job: DeliveryJob, address: str | None, now_ms: int) -> Facts:
    """The facts of ``job`` for its contact. A duress alert gives the same as one without."""
    alert, words = job.alert, words_of(job.contact.language)
    zone = job.contact.time_zone
    by = alert.closed_by or alert.acknowledged_by
    late = alert.raised_ms - alert.pressed_ms > LATE_MS
    return Facts(
        words=words,
        driver=clean(job.copy.driver_name, NAME_CHARS) or clean(alert.driver, NAME_CHARS),
        contact=clean(job.contact.name, NAME_CHARS),
        when=words.when.format(
            time=clock_time(alert.pressed_ms, now_ms, zone), age=age(words, now_ms - alert.pressed_ms)
        ),
        spoken_when=spoken_age(words, now_ms - alert.pressed_ms),
        late=words.late.format(received=clock_time(alert.raised_ms, now_ms, zone)) if late else "",
        address=clean(address or "", ADDRESS_CHARS),
        **_position(words, alert, now_ms),
        message=clean(alert.message, MESSAGE_CHARS),
        by=clean(by.name if by else "", NAME_CHARS),
        silent=alert.silent,
        drill=alert.drill,
    )


def happened(words: Words, alert: Alert, driver: str) -> str:
    """Who is in need and why, in a sentence: who raised an SOS for the driver is said."""
    if alert.raised_by is not None and alert.kind is Kind.SOS:
        return words.raised_for.format(driver=driver)
    return words.happened[alert.kind].format(driver=driver)


def _position(words: Words, alert: Alert, now_ms: int) -> dict[str, str]:
    place = alert.place
    if place is None:
        names = ("coordinates", "position_of", "position_notice", "spoken_position", "spoken_notice")
        return dict.fromkeys(names, "")
    return {
        "coordinates": f"{place.lat:.5f}, {place.lon:.5f}",
        "position_of": position_of(words, place, now_ms),
        "position_notice": position_notice(words, place, now_ms),
        "spoken_position": words.spoken_position.format(lat=f"{place.lat:.3f}", lon=f"{place.lon:.3f}"),
        "spoken_notice": _spoken_notice(words, place, now_ms),
    }


def position_of(words: Words, place: Place, now_ms: int) -> str:
    """How old and how exact ``place`` is: ``10 min ago, ± 300 m``."""
    known = place.accuracy_m is not None
    return (
        f"{position_age(words, place, now_ms)}, {accuracy(words, place) if known else words.unknown_accuracy}"
    )


def position_notice(words: Words, place: Place, now_ms: int) -> str:
    """What of that a text has to say; empty for a place of the last minute that is as exact as 100 m."""
    parts = [
        position_age(words, place, now_ms) if is_old(place, now_ms) else "",
        accuracy(words, place) if is_inexact(place) else "",
    ]
    return ", ".join(part for part in parts if part)


def position_age(words: Words, place: Place, now_ms: int) -> str:
    """How old ``place`` is; never "just now" without a credible time."""
    return words.unknown_age if place.t_ms is None else age(words, now_ms - place.t_ms)


def accuracy(words: Words, place: Place) -> str:
    """How exact ``place`` is; empty where that is unknown."""
    return _metres(place, words.metres, words.kilometres)


def _spoken_notice(words: Words, place: Place, now_ms: int) -> str:
    parts = []
    if place.t_ms is None:
        parts.append(words.unknown_age)
    elif is_old(place, now_ms):
        parts.append(spoken_age(words, now_ms - place.t_ms))
    if is_inexact(place):
        parts.append(_metres(place, words.spoken_metres, words.spoken_kilometres))
    return words.push_position.format(how=", ".join(parts)) if parts else ""


def _metres(place: Place, metres: str, kilometres: str) -> str:
    if place.accuracy_m is None:
        return ""
    whole = max(1, round(place.accuracy_m))
    return (
        metres.format(n=whole)
        if whole < 1_000
        else kilometres.format(n=f"{whole / 1000:.1f}".removesuffix(".0"))
    )


def age(words: Words, age_ms: int) -> str:
    """``3 min ago``. A time to come (an odd clock) is just now."""
    if age_ms < _MINUTE_MS:
        return words.just_now
    if age_ms < _HOUR_MS:
        return words.minutes_ago.format(n=age_ms // _MINUTE_MS)
    if age_ms < 2 * _DAY_MS:
        return words.hours_ago.format(n=age_ms // _HOUR_MS)
    return words.days_ago.format(n=age_ms // _DAY_MS)


def spoken_age(words: Words, age_ms: int) -> str:
    """``three minutes ago``, for a voice."""
    if age_ms < _MINUTE_MS:
        return words.just_now
    for unit_ms, limit_ms, forms in (
        (_MINUTE_MS, _HOUR_MS, words.spoken_minutes),
        (_HOUR_MS, 2 * _DAY_MS, words.spoken_hours),
    ):
        if age_ms < limit_ms:
            return forms[age_ms >= 2 * unit_ms].format(n=age_ms // unit_ms)
    return words.spoken_days[1].format(n=age_ms // _DAY_MS)


def clock_time(at_ms: int, now_ms: int, zone: str) -> str:
    """``22:31`` where the contact is, with the date when it is another day there, and the zone's name."""
    try:
        at = datetime.fromtimestamp(at_ms / 1000, _zone(zone))
        now = datetime.fromtimestamp(now_ms / 1000, _zone(zone))
    except (OverflowError, ValueError, OSError):  # a time no calendar has
        return "?"
    return at.strftime("%H:%M %Z" if at.date() == now.date() else "%Y-%m-%d %H:%M %Z")


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | fixed_zone:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, or no zone's name at all
        return UTC
