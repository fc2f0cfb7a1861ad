"""A phone number is taken as people write it, and two spellings of one number are one."""

import unicodedata
from zoneinfo import available_timezones

import phonenumbers
import pytest

from alerts.addresses.phone import dialled, identity, is_same, normal, spellings, zone_for, zone_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+881612345678", "+881612345678"), ("+8816 2345 1234", "+881623451234"),
        ("+88239123456", "+88239123456"), ("00 882 39 1234567", "+882391234567"),
        ("+870 773 123 456", "+870773123456"), ("+88216 5020 1234", "+8821650201234"),
        ("+883 5100 1234 5678", "+883510012345678"), ("00881 6 123-45678", "+881612345678"),
    ],
)  # fmt: skip
def test_a_satellite_phone_has_a_number(text: str, number: str) -> None:
    assert normal(text) == number


@pytest.mark.parametrize("text", ["+8816", "+870", "+8707731234567890", "+8821", "+88 1", "+881612"])
def test_too_few_or_too_many_digits_of_a_satellite_phone_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no such|country code"):
        normal(text)


def test_a_satellite_number_is_of_no_country_that_is_allowed() -> None:
    with pytest.raises(ValueError, match="of no country"):
        normal("+881612345678", ("CH",))


@pytest.mark.parametrize(
    "text",
    [
        "+447911123456", "＋４４７９１１１２３４５６", "+٤٤٧٩١١١٢٣٤٥٦", "+४४७९१११२३४५६", "+۴۴۷۹۱۱۱۲۳۴۵۶",
        "+৪৪৭৯১১১২৩৪৫৬", "+44\u00a07911\u202f123\u2009456", "+44‐7911‑123–456", "+44—7911−123ー456",
        "\u202a+447911123456\u202c", "\u200e+44 7911 123456\u200f", "\u2066+447911123456\u2069\ufeff",
        "00447911123456", "00 44 7911 123456", "0044 (0)7911 123456", "(00) 44-7911-123456",
        "+44 (0) 7911 123456", "+44 07911 123456", "tel:+44-7911-123-456", "TEL: +447911123456",
        "+44.7911.123.456", "+44/7911/123456", "\t+44 7911 123456\n", "٠٠٤٤٧٩١١١٢٣٤٥٦", "++44 7911 123456",
        "+0044 7911 123456", "447911123456+", "+44\u200b7911\u200b123456", "+44\u00ad7911123456",
        "sms:+447911123456", "＋44（0）7911　123456", "+44·7911·123456", "+4️⃣4️⃣7911123456",
    ],
)  # fmt: skip
def test_what_is_typed_on_a_phone_becomes_the_number_that_is_meant(text: str) -> None:
    assert normal(text) == "+447911123456"


@pytest.mark.parametrize(
    ("text", "countries", "number"),
    [
        ("07400 123456", ("GB",), "+447400123456"), ("０７４００ １２３４５６", ("gb",), "+447400123456"),
        ("079 123 45 67", ("CH",), "+41791234567"), ("(415) 555-2671", ("US",), "+14155552671"),
        ("011 44 7400 123456", ("US", "GB"), "+447400123456"), ("8 916 123 45 67", ("RU",), "+79161234567"),
        ("09876543210", ("IN",), "+919876543210"), ("०९८७६५४३२१०", ("IN",), "+919876543210"),
        ("06 30 123 4567", ("HU",), "+36301234567"), ("55 1234 5678", ("MX",), "+525512345678"),
        ("347 123 4567", ("IT",), "+393471234567"), ("06 1234 5678", ("IT",), "+390612345678"),
        ("011 15 1234-5678", ("AR",), "+5491112345678"), ("07400 123456", ("GB", "CH"), "+447400123456"),
    ],
)  # fmt: skip
def test_a_national_number_is_taken_where_one_country_has_it(
    text: str, countries: tuple[str, ...], number: str
) -> None:
    assert normal(text, countries) == number
    assert normal(text, home=countries) == number


@pytest.mark.parametrize(
    ("text", "countries"),
    [
        ("07911 123456", ()), ("0151 12345678", ("DE", "AT", "GB")), ("112", ("DE",)), ("2671", ("US",)),
        ("0900 123 456", ("CH",)), ("4155552671", ()), ("447911123456", ()),
    ],
)  # fmt: skip
def test_a_national_number_is_refused_where_its_meaning_is_not_one(
    text: str, countries: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"country code|no such|premium"):
        normal(text, countries)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+52 1 55 1234 5678", "+525512345678"), ("+52 55 1234 5678", "+525512345678"),
        ("+54 9 11 1234-5678", "+5491112345678"), ("+54 11 15 1234-5678", "+5491112345678"),
        ("+54 9 11 15 1234-5678", "+5491112345678"), ("+54 11 1234-5678", "+541112345678"),
        ("+55 11 8765-4321", "+5511987654321"), ("+55 11 98765-4321", "+5511987654321"),
        ("+55 11 3333-4444", "+551133334444"), ("+229 97 12 34 56", "+2290197123456"),
        ("+229 01 97 12 34 56", "+2290197123456"), ("+39 06 1234 5678", "+390612345678"),
        ("+39 6 1234 5678", "+390612345678"), ("+39 (0)6 1234 5678", "+390612345678"),
        ("+39 0347 123 4567", "+393471234567"), ("+39 347 123 4567", "+393471234567"),
    ],
)  # fmt: skip
def test_a_spelling_that_no_network_has_is_taken_for_the_one_that_it_means(text: str, number: str) -> None:
    assert normal(text) == number


SAME = [
    ("+5215512345678", "+525512345678"), ("+5491112345678", "+541112345678"),
    ("+5493511234567", "+543511234567"), ("+551187654321", "+5511987654321"),
    ("+558681234567", "+5586981234567"), ("+22997123456", "+2290197123456"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SAME)
def test_two_spellings_of_a_number_are_the_same_phone(a: str, b: str) -> None:
    assert is_same(a, b) and is_same(b, a)
    assert identity(a) == identity(b)
    assert set(spellings(a)) == set(spellings(b)) == {a, b}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("+551133334444", "+5511933334444"), ("+551178123456", "+5511978123456"),
        ("+525512345678", "+525512345679"), ("+15512345678", "+525512345678"),
        ("+390612345678", "+39612345678"), ("+4915112345678", "+49015112345678"),
        ("+34911234567", "+349911234567"), ("+5411123456", "+54911123456"), ("+52155123", "+5255123"),
        ("+22997123456", "+22901971234"), ("operator", "dispatch"), ("", "+1"),
    ],
)  # fmt: skip
def test_other_numbers_are_other_phones(a: str, b: str) -> None:
    assert not is_same(a, b)


@pytest.mark.parametrize("number", [number for pair in SAME for number in pair] + ["+4915112345678", "x"])
def test_the_spellings_of_a_number_are_few_and_it_is_one_of_them(number: str) -> None:
    assert number in spellings(number)
    assert identity(number) in spellings(number)
    assert identity(identity(number)) == identity(number)
    assert len(spellings(number)) == len(set(spellings(number))) <= 2


def test_a_number_is_dialled_as_its_network_has_it_and_then_as_it_was_before() -> None:
    assert dialled("+5215512345678") == ("+525512345678", "+5215512345678")
    assert dialled("+525512345678") == ("+525512345678", "+5215512345678")
    assert dialled("+551187654321") == ("+5511987654321", "+551187654321")
    assert dialled("+541112345678") == ("+541112345678", "+5491112345678"), "it may be a landline"
    assert dialled("+5491112345678") == ("+5491112345678", "+541112345678")
    assert dialled("+447911123456") == ("+447911123456",)


@pytest.mark.parametrize(
    ("number", "zone"),
    [
        ("+447911123456", "Europe/London"), ("+4915112345678", "Europe/Berlin"),
        ("+393471234567", "Europe/Rome"), ("+919876543210", "Asia/Kolkata"),
        ("+79161234567", "Europe/Moscow"), ("+77710009998", "Asia/Almaty"),
        ("+14155552671", "America/Los_Angeles"), ("+12125552671", "America/New_York"),
        ("+61412345678", "Australia/Sydney"), ("+5215512345678", "America/Mexico_City"),
        ("+525512345678", "America/Mexico_City"), ("+5491112345678", "America/Argentina/Buenos_Aires"),
        ("+5511987654321", "America/Sao_Paulo"), ("+351912345678", "Europe/Lisbon"),
        ("+353850123456", "Europe/Dublin"), ("+34612345678", "Europe/Madrid"),
        ("+628123456789", "Asia/Jakarta"), ("+9779812345678", "Asia/Kathmandu"),
        ("+881612345678", None), ("+870773123456", None), ("+80012345678", None), ("", None), ("x", None),
    ],
)  # fmt: skip
def test_a_number_says_in_which_zone_its_owner_mostly_is(number: str, zone: str | None) -> None:
    assert zone_of(number) == zone


def test_every_country_has_a_zone_and_it_is_one_that_there_is() -> None:
    for region in phonenumbers.SUPPORTED_REGIONS:
        number = phonenumbers.example_number(region)
        zone = zone_of(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
        assert zone in available_timezones(), region


def test_a_contact_without_a_zone_of_its_own_has_that_of_its_number() -> None:
    assert zone_for("UTC", "+4915112345678") == "Europe/Berlin"
    assert zone_for("Asia/Tokyo", "+4915112345678") == "Asia/Tokyo"
    assert zone_for("Etc/UTC", "+4915112345678") == "Etc/UTC", "who wants that says so"
    assert zone_for("UTC", None) == "UTC"
    assert zone_for("UTC", "+881612345678") == "UTC"


def test_digits_of_every_script_are_digits() -> None:
    for start in range(0x110000):
        if unicodedata.decimal(chr(start), None) == 0:
            text = "".join(chr(start + int(digit)) for digit in "447911123456")
            assert normal("+" + text) == "+447911123456", hex(start)
