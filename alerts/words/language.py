"""What a language must be able to say, and which languages there are. Pure.

Placeholders are named in braces; a test holds every language to those of English, and to short lines.
"""

from functools import cache
from importlib import import_module
from typing import Final

from msgspec import Struct

from alerts.alert import Kind

AVAILABLE: Final = ("en", "de", "es", "fr", "hi", "pt")
DEFAULT: Final = "en"


class Words(Struct, frozen=True, kw_only=True):
    """One language. The line of each field says where it is used."""

    voice: str
    """BCP 47 tag of the voice that reads a call."""
    drill: str
    """One word, before everything in a drill."""
    drill_note: str
    """A sentence: nobody is in danger."""
    titles: dict[Kind, str]
    """A few words: subject, push title."""
    happened: dict[Kind, str]
    """A sentence of who and what: ``{driver}``."""
    raised_for: str
    """The same of an SOS that the dispatcher raised for the ``{driver}``."""
    just_now: str
    minutes_ago: str
    hours_ago: str
    days_ago: str
    """Written ages: ``{n}``."""
    spoken_minutes: tuple[str, str]
    spoken_hours: tuple[str, str]
    spoken_days: tuple[str, str]
    """Ages in a call, of one and of more: ``{n}``."""
    when: str
    """``{time}`` ``{age}``."""
    late: str
    """It took long to arrive: ``{received}``."""
    place: str
    """``{address}``, in mail."""
    position: str
    """``{coordinates}``, in mail."""
    unknown_age: str
    """Instead of an age, where the time of a position is not credible."""
    unknown_accuracy: str
    metres: str
    kilometres: str
    """How exact a position is: ``{n}``."""
    no_position: str
    message: str
    """What the driver wrote: ``{message}``."""
    do_not_call: str
    """Of a silent alert."""
    act_short: str
    """Before the link in a text message: reply 1, or open."""
    act_open: str
    """The same where the contact cannot reply: open."""
    act_long: str
    """Before the link in a mail."""
    act_long_open: str
    """The same where the contact cannot reply to a text message."""
    details: str
    """Before the link when nothing is asked for."""
    press: str
    """In a call: press 1."""
    spoken_place: str
    """``{address}``."""
    spoken_position: str
    """``{lat}`` ``{lon}``."""
    spoken_metres: str
    spoken_kilometres: str
    """How exact a position is, in a call: ``{n}``."""
    all_clear: str
    closed: str
    """``{driver}``."""
    said_by: str
    """``{by}``."""
    on_it: str
    """To the others, when one acknowledged: ``{driver}``."""
    reminder: str
    reminder_act: str
    """To the acknowledger: ``{driver}``; what else happens."""
    reminder_open: str
    """The last where the contact cannot reply."""
    exhausted: str
    exhausted_act: str
    """To the operator: ``{driver}``; nobody was reached."""
    push_position: str
    """In a push and a call, of a position that is old or inexact: ``{how}``. No coordinate."""
    push_act: str
    """The last line of a push: open it."""
    footer: str
    """Why one gets this: ``{driver}``."""
    code_title: str
    code: str
    """``{code}``."""
    code_note: str
    """Nobody asked for it? Ignore it."""
    test_title: str
    test: str
    """Marked as a test, without an alarm: ``{driver}``."""
    test_note: str
    """No answer is needed."""
    test_note_open: str
    """The same where the contact cannot reply."""
    code_note_open: str
    """The same where the contact cannot reply."""


def words_of(language: str) -> Words:
    """The words of a BCP 47 tag: of its language, else English."""
    primary = language.replace("_", "-").split("-", 1)[0].lower()
    return _load(primary if primary in AVAILABLE else DEFAULT)


@cache
def _load(name: str) -> Words:
    words = import_module(f"alerts.words.{name}").WORDS
    assert isinstance(words, Words)
    return words
