"""One message in all its forms. Pure."""

from collections.abc import Iterator
from html import escape
from typing import Final

from msgspec import Struct

from alerts.attempt import Purpose
from alerts.policy import Contact
from alerts.ports import DeliveryJob
from alerts.words.clean import clean, shortened
from alerts.words.facts import Facts, facts_of, happened
from alerts.words.gsm import folded, is_gsm, segments
from alerts.words.language import Words, words_of

GSM_SEGMENTS: Final = 2
UCS2_SEGMENTS: Final = 4
"""Other scripts have less than half the room in a segment."""
SUBJECT_CHARS: Final = 120
PUSH_TITLE_CHARS: Final = 60
PUSH_BODY_CHARS: Final = 180
SPOKEN_CHARS: Final = 700
CODE_CHARS: Final = 12
NAME_CHARS: Final = 40
"""Of the driver who sends a test message."""


class RenderedMessage(Struct, frozen=True):
    """``short`` is at most two segments in the GSM alphabet, four in other scripts; its link is never cut.

    ``voice`` is the BCP 47 tag of the voice for ``spoken``, which says "press 1" where that is an answer.
    Where the contact cannot reply to a text, every form says "open the link" alone.
    A push holds no coordinate and no address: it is shown on locked screens.
    """

    subject: str
    short: str
    long: str
    html: str
    spoken: str
    push_title: str
    push_body: str
    voice: str


class Replies(Struct, frozen=True):
    """How people can answer beside the link: by a text to its sender, by a key in a call."""

    by_text: bool = True
    by_key: bool = True


REPLIES: Final = Replies()


class _Message(Struct, frozen=True):
    """What one purpose says. ``act`` stands before the link; ``asks`` whether an answer is asked for."""

    title: str
    lead: str
    details: tuple[str, ...]
    short_act: str
    long_act: str
    asks: bool


def render(
    job: DeliveryJob, link: str, address: str | None, now_ms: int, replies: Replies = REPLIES
) -> RenderedMessage:
    """The message of ``job`` to its contact. ``link`` is put in as it is; the address is left out when None.
    It asks for no answer that ``replies`` does not have.

    For `Purpose.CODE` the code is the alert's ``message``, for `Purpose.TEST` the name of who tests; neither
    has a link.
    """
    if job.attempt.purpose is Purpose.TEST:
        return render_test(job.contact, job.alert.message, replies)
    if job.attempt.purpose is Purpose.CODE:
        return render_code(job.contact, job.alert.message, replies)
    facts = facts_of(job, address, now_ms)
    message = _message(job, facts, replies)
    drill = f"{facts.words.drill}: " if facts.drill else ""
    title = drill + message.title
    return RenderedMessage(
        subject=shortened(f"{title} – {facts.driver}", SUBJECT_CHARS),
        short=_short(facts, message, drill, link),
        long="\n\n".join(_paragraphs(facts, message, link)) + "\n",
        html=_html(facts, message, title, link),
        spoken=shortened(" ".join(_spoken(facts, message, replies)), SPOKEN_CHARS),
        push_title=shortened(f"{title} – {facts.driver}", PUSH_TITLE_CHARS),
        push_body=_push_body(facts, message),
        voice=facts.words.voice,
    )


def render_code(contact: Contact, code: str, replies: Replies = REPLIES) -> RenderedMessage:
    """The code that confirms an address of ``contact``."""
    words = words_of(contact.language)
    note = words.code_note if replies.by_text else words.code_note_open
    code = clean(code, CODE_CHARS)
    text = words.code.format(code=code)
    return RenderedMessage(
        subject=words.code_title,
        short=_folded(f"{text} {note}"),
        long=f"{text}\n\n{note}\n",
        html=_page(words, words.code_title, [_p(text), _p(note)]),
        spoken=" ".join([words.code.format(code=", ".join(code) + ","), f"{', '.join(code)}."]),
        push_title=words.code_title,
        push_body=text,
        voice=words.voice,
    )


def render_test(contact: Contact, driver: str, replies: Replies = REPLIES) -> RenderedMessage:
    """A message to ``contact`` that says that it is a test by ``driver``, and that nothing is wrong."""
    words = words_of(contact.language)
    note = words.test_note if replies.by_text else words.test_note_open
    text = words.test.format(driver=shortened(clean(driver, NAME_CHARS * 2), NAME_CHARS))
    return RenderedMessage(
        subject=words.test_title,
        short=_folded(f"{text} {note}"),
        long=f"{text}\n\n{note}\n",
        html=_page(words, words.test_title, [_p(text), _p(note)]),
        spoken=f"{text} {text}",
        push_title=words.test_title,
        push_body=text,
        voice=words.voice,
    )


def _message(job: DeliveryJob, facts: Facts, replies: Replies) -> _Message:
    words, driver = facts.words, facts.driver
    title = words.titles[job.alert.kind]
    said_by = (words.said_by.format(by=facts.by),) if facts.by else ()
    match job.attempt.purpose:
        case Purpose.ALL_CLEAR:
            lead = words.all_clear.format(driver=driver)
            return _Message(title, lead, said_by, words.details, words.details, asks=False)
        case Purpose.CLOSED:
            lead = words.closed.format(driver=driver)
            return _Message(title, lead, said_by, words.details, words.details, asks=False)
        case Purpose.ON_IT:
            lead = " ".join((words.on_it.format(driver=driver), *said_by))
            return _Message(title, lead, (), words.details, words.details, asks=False)
        case Purpose.REMINDER:
            lead = words.reminder.format(driver=driver)
            where = (_position(facts),)
            act = words.reminder_act if replies.by_text else words.reminder_open
            return _Message(title, lead, where, act, act, asks=True)
        case Purpose.EXHAUSTED:
            lead = words.exhausted.format(driver=driver)
            details = (happened(words, job.alert, driver), *_circumstances(facts))
            return _Message(title, lead, details, words.exhausted_act, words.exhausted_act, asks=True)
        case _:
            lead = happened(words, job.alert, driver)
            short, long = (
                (words.act_short, words.act_long)
                if replies.by_text
                else (words.act_open, words.act_long_open)
            )
            return _Message(title, lead, _circumstances(facts), short, long, asks=True)


def _circumstances(facts: Facts) -> tuple[str, ...]:
    """When, where and what else, for a mail."""
    words = facts.words
    lines = [facts.when, facts.late, words.do_not_call if facts.silent else ""]
    if facts.address:
        lines.append(words.place.format(address=facts.address))
    lines.append(_position(facts))
    if facts.message:
        lines.append(words.message.format(message=facts.message))
    return tuple(line for line in lines if line)


def _position(facts: Facts) -> str:
    if not facts.coordinates:
        return facts.words.no_position
    return facts.words.position.format(coordinates=f"{facts.coordinates} ({facts.position_of})")


# --- a text message: the richest variant that fits


def _short(facts: Facts, message: _Message, drill: str, link: str) -> str:
    text = ""
    for variant in _variants(facts, message):
        text = _folded(" ".join(part for part in (drill + variant, message.short_act) if part))
        text = f"{text} {link}"
        if segments(text) <= (GSM_SEGMENTS if is_gsm(text) else UCS2_SEGMENTS):
            return text
    return f"{_folded(drill + message.title)} {link}"


def _variants(facts: Facts, message: _Message) -> Iterator[str]:
    """From everything to hardly anything; what matters least goes first."""
    words = facts.words
    if not message.asks:
        yield " ".join((message.lead, *message.details))
        yield message.lead
        return
    lead = message.lead
    quiet = words.do_not_call if facts.silent else ""
    where = ", ".join(filter(None, (facts.coordinates, facts.position_notice))) or words.no_position
    for parts in (
        (lead, facts.when, facts.late, quiet, facts.address, f"({where})", facts.message),
        (lead, facts.when, facts.late, quiet, facts.address, f"({where})", shortened(facts.message, 60)),
        (lead, facts.when, facts.late, quiet, facts.address, f"({where})"),
        (lead, facts.when, facts.late, quiet, shortened(facts.address, 60), f"({where})"),
        (lead, facts.when, facts.late, quiet, f"({where})"),
        (lead, facts.when, quiet, f"({where})"),
        (lead, quiet, f"({where})"),
        (lead, f"({where})"),
        (f"{message.title}:", shortened(facts.driver, 30), f"({where})"),
        (f"{message.title}:", shortened(facts.driver, 20)),
    ):
        yield " ".join(part for part in parts if part)


def _folded(text: str) -> str:
    """Plain where that brings the text into the GSM alphabet; else as it was."""
    plain = folded(text)
    return plain if is_gsm(plain) else text


# --- mail


def _paragraphs(facts: Facts, message: _Message, link: str) -> list[str]:
    words = facts.words
    drill = [f"*** {words.drill} *** {words.drill_note}"] if facts.drill else []
    return [
        *drill,
        message.lead,
        *(["\n".join(message.details)] if message.details else []),
        f"{message.long_act}\n{link}",
        "-- \n" + words.footer.format(driver=facts.driver),
        *drill,
    ]


def _html(facts: Facts, message: _Message, title: str, link: str) -> str:
    words = facts.words
    target = escape(link, quote=True)
    drill = (
        [_p(f"{words.drill}: {words.drill_note}", "background:#fde68a;padding:8px")] if facts.drill else []
    )
    parts = [
        *drill,
        _p(message.lead, "font-size:20px;font-weight:bold"),
        *(_p(line) for line in message.details),
        _p(message.long_act),
        f'<p><a href="{target}" rel="noreferrer">{target}</a></p>',
        _p(words.footer.format(driver=facts.driver), "color:#666;font-size:12px"),
        *drill,
    ]
    return _page(words, title, parts)


def _page(words: Words, title: str, parts: list[str]) -> str:
    return (
        f'<!doctype html><html lang="{words.voice}"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title></head>"
        f'<body style="font-family:sans-serif;max-width:40em">{"".join(parts)}</body></html>\n'
    )


def _p(text: str, style: str = "") -> str:
    return f'<p style="{style}">{escape(text)}</p>' if style else f"<p>{escape(text)}</p>"


# --- a call and a push


def _spoken(facts: Facts, message: _Message, replies: Replies) -> Iterator[str]:
    words = facts.words
    press = (words.press,) if replies.by_key else ()
    if facts.drill:
        yield words.drill_note
    yield message.lead
    if message.asks:
        yield f"{facts.spoken_when}."
        yield from press  # early: some pick up and hang up soon
        if facts.silent:
            yield words.do_not_call
        if facts.address:
            yield words.spoken_place.format(address=shortened(facts.address, 100))
        else:
            yield facts.spoken_position or words.no_position
        if facts.spoken_notice:
            yield facts.spoken_notice
        yield from press
    if facts.drill:
        yield words.drill_note


def _push_position(facts: Facts) -> str:
    """That the position is old, inexact or unknown; never where it is."""
    if not facts.coordinates:
        return facts.words.no_position
    return facts.words.push_position.format(how=facts.position_notice) if facts.position_notice else ""


def _push_body(facts: Facts, message: _Message) -> str:
    words = facts.words
    parts = [message.lead]
    if message.asks:
        parts += [
            facts.when,
            words.do_not_call if facts.silent else "",
            _push_position(facts),
            words.push_act,
        ]
    if facts.drill:
        parts.insert(0, words.drill_note)
    return shortened(" ".join(part for part in parts if part), PUSH_BODY_CHARS)
