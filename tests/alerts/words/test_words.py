"""Every language says everything; whatever a name holds, the link arrives whole."""

import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.alert import Actor, ActorKind, Kind, Place, State
from alerts.attempt import OF_NO_ALERT, Purpose
from alerts.words import RenderedMessage, render
from alerts.words.clean import clean
from alerts.words.gsm import folded, is_gsm, segments
from alerts.words.language import AVAILABLE, Words, words_of
from tests.alerts.jobs import LINK, NOW_MS, alert, contact, job

ADDRESS = "Alexanderplatz 1, 10178 Berlin"
languages = pytest.mark.parametrize("language", AVAILABLE)
linked = pytest.mark.parametrize("purpose", [p for p in Purpose if p not in OF_NO_ALERT])


def fields_of(words: Words) -> dict[str, str]:
    """Every text of a language, by a name."""
    flat = dict[str, str]()
    for name, value in msgspec.structs.asdict(words).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{kind}": text for kind, text in value.items()}
        elif isinstance(value, tuple):
            flat |= {f"{name}.{place}": text for place, text in enumerate(value)}
        else:
            flat[name] = value
    return flat


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def texts_of(rendered: RenderedMessage) -> list[str]:
    return [getattr(rendered, name) for name in rendered.__struct_fields__ if name != "voice"]


@languages
def test_every_language_has_every_text_with_the_placeholders_of_english(language: str) -> None:
    english, theirs = fields_of(words_of("en")), fields_of(words_of(language))
    assert theirs.keys() == english.keys()
    for name, text in theirs.items():
        assert text.strip(), name
        if not name.startswith("spoken_") or name.count(".") == 0:
            assert placeholders(text) == placeholders(english[name]), name


@languages
def test_every_kind_has_a_title_and_a_sentence(language: str) -> None:
    words = words_of(language)
    assert set(words.titles) == set(words.happened) == set(Kind)


@pytest.mark.parametrize(
    ("asked", "given"),
    [("pt-BR", "pt-BR"), ("DE_at", "de-DE"), ("xx", "en-GB"), ("", "en-GB"), ("../os", "en-GB")],
)
def test_a_language_nobody_wrote_is_english(asked: str, given: str) -> None:
    assert words_of(asked).voice == given


@languages
@linked
def test_every_purpose_has_its_link_whole_and_stays_short(language: str, purpose: Purpose) -> None:
    rendered = render(job(purpose=purpose, to=contact(language=language)), LINK, ADDRESS, NOW_MS)
    assert rendered.short.endswith(" " + LINK)
    assert f"\n{LINK}\n" in rendered.long
    assert f'href="{LINK}"' in rendered.html
    assert segments(rendered.short) <= (2 if language != "hi" else 4)
    assert is_gsm(rendered.short) is (language != "hi")
    assert "Ana Lopez" in rendered.short


@languages
def test_an_alert_says_who_when_where_and_what_to_do(language: str) -> None:
    words = words_of(language)
    rendered = render(job(to=contact(language=language)), LINK, ADDRESS, NOW_MS)
    for text in (rendered.short, rendered.long, rendered.html):
        assert "52.52000, 13.40500" in text
        assert "Ana Lopez" in text
    for text in (rendered.long, rendered.html, rendered.push_body):
        assert words.minutes_ago.format(n=3) in text
        assert "16:57 CET" in text
    assert ADDRESS in rendered.long and ADDRESS in rendered.spoken
    assert folded(words.act_short).split()[0] in folded(rendered.short)
    assert words.press in rendered.spoken
    assert "12" in rendered.long


@languages
@linked
def test_a_drill_is_marked_in_everything_that_is_said(language: str, purpose: Purpose) -> None:
    words = words_of(language)
    rendered = render(
        job(of=alert(drill=True), purpose=purpose, to=contact(language=language)), LINK, ADDRESS, NOW_MS
    )
    for text in (rendered.subject, rendered.long, rendered.html, rendered.push_title):
        assert words.drill in text
    assert folded(words.drill) in folded(rendered.short)
    assert rendered.spoken.startswith(words.drill_note) and rendered.spoken.endswith(words.drill_note)
    real = render(job(purpose=purpose, to=contact(language=language)), LINK, ADDRESS, NOW_MS)
    assert all(words.drill not in text and words.drill_note not in text for text in texts_of(real))


@languages
@linked
def test_duress_is_not_to_be_seen(language: str, purpose: Purpose) -> None:
    open_one, under_duress = (
        render(job(of=alert(duress=d), purpose=purpose, to=contact(language=language)), LINK, None, NOW_MS)
        for d in (False, True)
    )
    assert open_one == under_duress


@languages
def test_a_silent_alert_asks_not_to_call(language: str) -> None:
    words = words_of(language)
    rendered = render(job(of=alert(silent=True), to=contact(language=language)), LINK, ADDRESS, NOW_MS)
    for text in (rendered.long, rendered.spoken, rendered.push_body):
        assert words.do_not_call in text
    assert folded(words.do_not_call) in rendered.short or words.do_not_call in rendered.short


@languages
def test_an_sos_that_was_raised_for_a_driver_says_by_whom(language: str) -> None:
    words = words_of(language)
    by = Actor(ActorKind.OPERATOR, "ana@t1")
    to = contact(language=language)
    theirs = render(job(of=alert(raised_by=by), to=to), LINK, ADDRESS, NOW_MS)
    own = render(job(to=to), LINK, ADDRESS, NOW_MS)
    texts = (words.raised_for, words.happened[Kind.SOS])
    said, pressed = (text.format(driver="Ana Lopez") for text in texts)
    for name in ("long", "spoken", "push_body"):
        assert said in getattr(theirs, name) and pressed not in getattr(theirs, name), name
        assert said not in getattr(own, name) and pressed in getattr(own, name), name
    assert folded(said) in theirs.short or said in theirs.short
    assert segments(theirs.short) <= (2 if language != "hi" else 4)
    assert "ana@t1" not in "".join(texts_of(theirs)), "no subject of a token"
    crash = render(job(of=alert(raised_by=by, kind=Kind.CRASH), to=to), LINK, ADDRESS, NOW_MS)
    assert words.happened[Kind.CRASH].format(driver="Ana Lopez") in crash.long


def test_a_push_holds_neither_coordinates_nor_an_address() -> None:
    rendered = render(job(), LINK, ADDRESS, NOW_MS)
    for text in (rendered.push_title, rendered.push_body, rendered.subject):
        assert "52.5" not in text
        assert "Alexanderplatz" not in text
        assert LINK not in text


def test_what_arrived_late_says_so() -> None:
    late = alert(pressed_ms=NOW_MS - 3 * 3_600_000, raised_ms=NOW_MS - 60_000)
    rendered = render(job(of=late), LINK, None, NOW_MS)
    for text in (rendered.short, rendered.long, rendered.html):
        assert "LATE" in text
        assert "14:00 CET, 3 h ago" in text
    assert "LATE" not in render(job(), LINK, None, NOW_MS).long


def test_another_day_is_given_with_its_date() -> None:
    old = alert(pressed_ms=NOW_MS - 20 * 86_400_000)
    assert "2025-11-04 17:00 CET, 20 d ago" in render(job(of=old), LINK, None, NOW_MS).long


@pytest.mark.parametrize("zone", ["Nowhere/At_all", "", "../../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_utc(zone: str) -> None:
    assert "15:57 UTC" in render(job(to=contact(time_zone=zone)), LINK, None, NOW_MS).long


@pytest.mark.parametrize("at_ms", [-(2**62), 2**62, 0])
def test_a_time_no_calendar_has_stops_nothing(at_ms: int) -> None:
    assert render(job(of=alert(pressed_ms=at_ms)), LINK, None, NOW_MS).short.endswith(LINK)


def test_without_a_position_that_is_said() -> None:
    rendered = render(job(of=alert(place=None)), LINK, None, NOW_MS)
    for text in (rendered.short, rendered.long, rendered.html, rendered.spoken):
        assert "Position unknown." in text


def at(ago_ms: int | None, accuracy_m: float | None = 5.0) -> Place:
    """A place of ``ago_ms`` ago; None: of unknown age."""
    return Place(52.52, 13.405, accuracy_m, None if ago_ms is None else NOW_MS - ago_ms)


@languages
@pytest.mark.parametrize(
    ("place", "age", "accuracy"),
    [
        (at(600_000, 300.0), 10, "300"),
        (at(600_000), 10, None),
        (at(60_000), 1, None),
        (at(5_000, 101.0), None, "101"),
        (at(5_000, 2_300.0), None, "2.3"),
        (at(5_000, 150_000.0), None, "150"),
    ],
)
def test_a_place_that_is_old_or_inexact_is_said_to_be(
    language: str, place: Place, age: int | None, accuracy: str | None
) -> None:
    words = words_of(language)
    unit = words.kilometres if accuracy in ("2.3", "150") else words.metres
    expected = ", ".join(
        part
        for part in (
            "" if age is None else words.minutes_ago.format(n=age),
            "" if accuracy is None else unit.format(n=accuracy),
        )
        if part
    )
    rendered = render(job(of=alert(place=place), to=contact(language=language)), LINK, None, NOW_MS)
    said = f"52.52000, 13.40500, {expected}"
    assert said in rendered.short or folded(said) in rendered.short
    for text in (rendered.long, rendered.html, rendered.push_body):
        assert expected in text
    if age is not None:
        assert words.spoken_minutes[age > 1].format(n=age) in rendered.spoken
    if accuracy is not None:
        spoken = words.spoken_kilometres if accuracy in ("2.3", "150") else words.spoken_metres
        assert spoken.format(n=accuracy) in rendered.spoken
    assert "52.52" not in rendered.push_body


@languages
def test_a_new_and_exact_place_is_given_as_it_is(language: str) -> None:
    words = words_of(language)
    for place in (at(59_000), at(0, 100.0), at(59_000, None), at(-30_000)):
        rendered = render(job(of=alert(place=place), to=contact(language=language)), LINK, None, NOW_MS)
        assert "(52.52000, 13.40500)" in rendered.short
        assert words.push_position.format(how="")[:6] not in rendered.push_body
        assert words.just_now in rendered.long, "a mail says it always"


@languages
def test_a_place_without_a_time_is_of_unknown_age_and_never_just_now(language: str) -> None:
    words = words_of(language)
    what = alert(place=at(None, 5.0), pressed_ms=NOW_MS - 120_000)
    rendered = render(job(of=what, to=contact(language=language)), LINK, None, NOW_MS)
    assert folded(words.unknown_age) in rendered.short or words.unknown_age in rendered.short
    for text in (rendered.long, rendered.html, rendered.spoken, rendered.push_body):
        assert words.unknown_age in text
    assert all(words.just_now not in text for text in texts_of(rendered))


@languages
def test_an_unknown_accuracy_is_said_in_a_mail(language: str) -> None:
    what = alert(place=at(5_000, None))
    rendered = render(job(of=what, to=contact(language=language)), LINK, None, NOW_MS)
    assert words_of(language).unknown_accuracy in rendered.long


@languages
def test_a_reminder_says_where_the_driver_is_now(language: str) -> None:
    what = alert(state=State.ACKNOWLEDGED, place=at(600_000, 300.0))
    told = contact(language=language)
    rendered = render(job(of=what, to=told, purpose=Purpose.REMINDER), LINK, None, NOW_MS)
    for text in (rendered.short, rendered.long):
        assert "52.52000, 13.40500" in text
        assert words_of(language).minutes_ago.format(n=10) in text or is_gsm(text)


@languages
def test_the_age_of_the_place_stays_when_there_is_room_for_little_else(language: str) -> None:
    what = alert(place=at(600_000, 300.0), message="x" * 500, silent=True)
    rendered = render(
        job(of=what, driver_name="N" * 60, to=contact(language=language)), LINK, "A" * 140, NOW_MS
    )
    assert "52.52000, 13.40500, " in rendered.short
    assert "300" in rendered.short


def test_a_call_without_an_address_speaks_the_coordinates() -> None:
    assert "Latitude 52.520, longitude 13.405." in render(job(), LINK, None, NOW_MS).spoken


def test_without_a_name_the_driver_is_called_by_id() -> None:
    assert "d-1 has pressed SOS." in render(job(driver_name="  \r\n "), LINK, None, NOW_MS).long


def test_who_closed_an_alert_is_named() -> None:
    over = alert(state=State.RESOLVED, closed_by=Actor(ActorKind.OPERATOR, "u1", "Carla"))
    assert "Said by Carla." in render(job(of=over, purpose=Purpose.CLOSED), LINK, None, NOW_MS).long


@languages
def test_a_code_is_given_and_asks_for_nothing(language: str) -> None:
    rendered = render(
        job(of=alert(message="482913"), purpose=Purpose.CODE, to=contact(language=language)),
        LINK,
        None,
        NOW_MS,
    )
    for text in (rendered.short, rendered.long, rendered.html, rendered.push_body):
        assert "482913" in text
        assert LINK not in text
    assert "4, 8, 2, 9, 1, 3" in rendered.spoken
    assert "482913" not in rendered.subject + rendered.push_title


def test_a_name_in_another_script_is_sent_as_it_is() -> None:
    rendered = render(job(driver_name="Олена Шевченко"), LINK, None, NOW_MS)
    assert "Олена Шевченко" in rendered.short
    assert not is_gsm(rendered.short)
    assert segments(rendered.short) <= 4


def test_html_of_strangers_is_text() -> None:
    nasty = '<img src=x onerror="alert(1)">&'
    page = render(
        job(driver_name=nasty, of=alert(message="<script>"), to=contact()), LINK, nasty, NOW_MS
    ).html
    assert "<img" not in page
    assert "<script" not in page
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;" in page


@languages
@pytest.mark.parametrize("name", ["Ana Lopez", "", "x" * 200, "Ана\r\nЛопес", "{driver}%s", "😀" * 80])
def test_a_test_message_is_marked_and_says_who_tests_and_has_no_link(language: str, name: str) -> None:
    words = words_of(language)
    of = alert(message=name)
    rendered = render(job(of=of, purpose=Purpose.TEST, to=contact(language=language)), LINK, None, NOW_MS)
    marked = words.test.split(".")[0].split("।")[0]
    for text in (rendered.short, rendered.long, rendered.html, rendered.spoken, rendered.push_body):
        assert folded(marked) in folded(text)
        assert LINK not in text
    assert rendered.subject == rendered.push_title == words.test_title
    assert segments(rendered.short) <= (2 if is_gsm(rendered.short) else 4)
    assert "\n" not in rendered.short and "\r" not in rendered.short
    if name == "Ana Lopez":
        assert name in rendered.short and name in rendered.spoken


HOSTILE = st.text(
    st.one_of(st.characters(), st.sampled_from("\r\n\0\u202e\u2028\u0301{}%$<>\x1b\u200b:")), max_size=400
)


@given(
    name=HOSTILE,
    message=HOSTILE,
    address=HOSTILE,
    language=st.sampled_from(AVAILABLE),
    purpose=st.sampled_from([p for p in Purpose if p not in OF_NO_ALERT]),
    silent=st.booleans(),
    drill=st.booleans(),
)
def test_whatever_strangers_write_headers_stay_one_line_and_the_link_whole(
    name: str, message: str, address: str, language: str, purpose: Purpose, silent: bool, drill: bool
) -> None:
    what = alert(message=message, silent=silent, drill=drill)
    rendered = render(
        job(of=what, driver_name=name, to=contact(name=name, language=language), purpose=purpose),
        LINK,
        address,
        NOW_MS,
    )
    for line in (rendered.subject, rendered.short, rendered.spoken, rendered.push_title, rendered.push_body):
        assert line.isprintable() or set(filter(lambda c: not c.isprintable(), line)) <= set(
            "\u200c\u200d\u00a0"
        )
        assert "\n" not in line and "\r" not in line
    assert rendered.short.endswith(" " + LINK)
    assert segments(rendered.short) <= (2 if is_gsm(rendered.short) else 4)
    assert f"\n{LINK}\n" in rendered.long
    assert len(rendered.subject) <= 120
    assert len(rendered.push_title) <= 60 and len(rendered.push_body) <= 180
    assert len(rendered.spoken) <= 700 and len(rendered.long) < 4_000
    rendered.long.encode()
    rendered.html.encode()


@given(link=st.integers(20, 400))
def test_a_link_of_any_length_is_never_cut(link: int) -> None:
    long_link = "https://x.example/a#" + "q" * link
    assert render(job(), long_link, ADDRESS, NOW_MS).short.endswith(" " + long_link)


@given(HOSTILE, st.integers(0, 50))
def test_clean_text_is_one_line_within_its_limit_and_stays_as_it_is(text: str, limit: int) -> None:
    once = clean(text, limit)
    assert len(once) <= limit
    assert "\n" not in once and "\r" not in once and "\0" not in once
    assert clean(once, limit) == once


def test_stacked_marks_are_cut() -> None:
    assert clean("a" + "\u0316" * 50 + "b", 60) == "a\u0316\u0316\u0316b"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1), ("€" * 81, 2)),
        *(("я" * 70, 1), ("я" * 71, 2), ("я" * 134, 2), ("😀" * 35, 1), ("😀" * 36, 2)),
    ],
)
def test_segments_are_counted_as_they_are_paid(text: str, count: int) -> None:
    assert segments(text) == count


def test_folding_keeps_what_the_alphabet_has() -> None:
    assert folded("é è ç ê ł — “x” …") == 'é è c e l - "x" ...'
    assert folded("Олена") == "Олена"


@languages
def test_whoever_was_told_hears_that_somebody_is_on_it_and_who(language: str) -> None:
    taken = alert(state=State.ACKNOWLEDGED, acknowledged_by=Actor(ActorKind.CONTACT, "c-9", "Ben Hur"))
    told = contact(language=language)
    rendered = render(job(of=taken, to=told, purpose=Purpose.ON_IT), LINK, None, NOW_MS)
    assert "Ana Lopez" in rendered.push_body
    assert "Ben Hur" in rendered.push_body
    assert words_of(language).press not in rendered.spoken
    assert rendered.push_body != render(job(of=taken, to=told), LINK, None, NOW_MS).push_body
