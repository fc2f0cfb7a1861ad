"""The local copy of contacts and policies: what it says is what Postgres would, also with Postgres away."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from alerts.policy import DISPATCH, OPERATOR, Contact, Source
from realtime.alerting.failover.contact_cache import ContactCache
from realtime.alerting.failover.keys import Broken, local_key, seal, unseal, write_whole
from realtime.alerting.failover.storage import LocalStorage
from realtime.protocol import Refused
from realtime.settings import Settings
from realtime.store.alerts.circumstances import circumstances
from realtime.store.db.database import Database
from tests.store.people import put_contact, put_driver

PHONE = "+41790000001"
OPERATOR_CONTACT = Contact(OPERATOR, "Operator", phone="+41790000009")
KEY = bytes(range(32))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def operator_of(tenant: str) -> Contact | None:
    return OPERATOR_CONTACT if tenant == "t1" else None


def a_directory(db: Database, folder: Path, key: bytes = KEY) -> ContactCache:
    return ContactCache(db, folder, key, operator_of, now_ms)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    settings = Settings(database_url=database_url, db_timeout_s=10)  # type: ignore[arg-type]
    found = await Database.open(settings)
    await put_driver(found, "t1", "north", "d1")
    await put_contact(found, "t1", driver_id="d1", name="Ana", phone=PHONE)
    yield found
    await found.close()


@pytest.fixture
async def away() -> AsyncIterator[Database]:
    """A database that nobody answers at."""
    url = "postgresql://nobody@127.0.0.1:1/none"
    found = await Database.open(Settings(database_url=url, db_timeout_s=1))  # type: ignore[arg-type]
    yield found
    await found.close()


async def test_it_says_what_postgres_says(db: Database, tmp_path: Path) -> None:
    directory = a_directory(db, tmp_path)
    await directory.refresh()
    stored = await circumstances(db, "t1", "north", "d1", OPERATOR_CONTACT)
    assert [contact.phone for contact in stored.contacts] == [PHONE, None, OPERATOR_CONTACT.phone]
    copied = directory.of("t1", "north", "d1")
    assert replace(copied, source=Source.POSTGRES, age_ms=None) == stored
    assert copied.source is Source.LOCAL_COPY and copied.age_ms is not None


async def test_a_start_with_postgres_away_finds_what_was_kept(
    db: Database, away: Database, tmp_path: Path
) -> None:
    before = a_directory(db, tmp_path)
    await before.refresh()
    after = a_directory(away, tmp_path)
    await after.open()
    assert after.of("t1", "north", "d1").contacts == before.of("t1", "north", "d1").contacts
    assert after.age_ms is not None
    with pytest.raises(Refused):
        await after.refresh()
    assert after.of("t1", "north", "d1").contacts == before.of("t1", "north", "d1").contacts


async def test_with_nothing_known_there_are_the_dispatchers_and_the_operator(
    away: Database, tmp_path: Path
) -> None:
    directory = a_directory(away, tmp_path)
    await directory.open()
    assert directory.age_ms is None
    known = directory.of("t1", "north", "d1")
    assert [contact.contact_id for contact in known.contacts] == [DISPATCH, OPERATOR]
    assert (known.source, known.age_ms) == (Source.NONE, None)


async def test_on_disk_nothing_can_be_read_without_the_key(db: Database, tmp_path: Path) -> None:
    directory = a_directory(db, tmp_path)
    await directory.refresh()
    await directory.say(PHONE, out=True)
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0
        content = file.read_bytes()
        assert PHONE.encode() not in content and b"Ana" not in content
    other = a_directory(db, tmp_path, bytes(32))
    await other.open()
    assert other.age_ms is None and other.unsaid == 0


async def test_a_file_that_was_cut_or_changed_counts_as_none(db: Database, tmp_path: Path) -> None:
    directory = a_directory(db, tmp_path)
    await directory.refresh()
    file = tmp_path / "directory"
    whole = file.read_bytes()
    for content in (b"", whole[:10], whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(content)
        again = a_directory(db, tmp_path)
        await again.open()
        assert again.age_ms is None


async def test_who_said_stop_is_told_nothing_more_also_after_a_restart_and_postgres_hears_of_it(
    db: Database, away: Database, tmp_path: Path
) -> None:
    directory = a_directory(db, tmp_path)
    await directory.refresh()
    cut_off = a_directory(away, tmp_path)
    await cut_off.open()
    await cut_off.say(PHONE, out=True)
    assert PHONE not in [contact.phone for contact in cut_off.of("t1", "north", "d1").contacts]
    with pytest.raises(Refused):
        await cut_off.hand_over()
    assert cut_off.unsaid == 1
    back = a_directory(db, tmp_path)
    await back.open()
    assert PHONE not in [contact.phone for contact in back.of("t1", "north", "d1").contacts]
    await back.hand_over()
    assert back.unsaid == 0
    for known in (back.of("t1", "north", "d1"), await circumstances(db, "t1", "north", "d1")):
        assert PHONE not in [contact.phone for contact in known.contacts]
    await back.say(PHONE, out=False)
    await back.hand_over()
    assert PHONE in [contact.phone for contact in back.of("t1", "north", "d1").contacts]


@pytest.mark.parametrize(
    ("kept", "sender"), [("+525512345678", "+5215512345678"), ("+5215512345678", "+525512345678")]
)
async def test_stop_is_heeded_in_every_form_of_the_number(
    db: Database, away: Database, tmp_path: Path, kept: str, sender: str
) -> None:
    await put_contact(db, "t1", name="Mexico", phone=kept, driver_id="d1")
    directory = a_directory(db, tmp_path)
    await directory.refresh()
    cut_off = a_directory(away, tmp_path)
    await cut_off.open()
    await cut_off.say(sender, out=True)
    await cut_off.say(kept, out=True)
    assert cut_off.unsaid == 1, "one phone has one word"
    assert kept not in [contact.phone for contact in cut_off.of("t1", "north", "d1").contacts]
    back = a_directory(db, tmp_path)
    await back.open()
    await back.hand_over()
    found = await circumstances(db, "t1", "north", "d1")
    assert kept not in [contact.phone for contact in found.contacts]


async def test_the_language_of_a_number_is_that_of_its_contact_without_postgres(
    db: Database, away: Database, tmp_path: Path
) -> None:
    await put_contact(db, "t1", name="Mexico", phone="+525512345678", driver_id="d1", language="es")
    directory = a_directory(db, tmp_path)
    await directory.refresh()
    cut_off = a_directory(away, tmp_path)
    await cut_off.open()
    assert [cut_off.language_of(one) for one in ("+525512345678", "+5215512345678")] == ["es", "es"]
    assert cut_off.language_of("+525512345679") is None


async def test_it_counts_what_it_has_of_a_driver(db: Database, tmp_path: Path) -> None:
    directory = a_directory(db, tmp_path)
    await directory.refresh()
    assert directory.count("t1", "d1") > 0
    assert directory.count("t2", "d1") == directory.count("t1", "d2") == 0


# --- folders and seals


def test_two_processes_of_one_name_have_two_folders_and_a_restart_finds_its_own(tmp_path: Path) -> None:
    settings = Settings(journal_dir=tmp_path, instance_name="w1")
    first = LocalStorage.take(settings, "web")
    second = LocalStorage.take(settings, "web")
    worker = LocalStorage.take(settings, "worker")
    assert len({first.path, second.path, worker.path}) == 3
    assert first.path.stat().st_mode & 0o077 == 0
    first.release()
    assert LocalStorage.take(settings, "web").path == first.path


def test_without_a_setting_it_is_below_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_DIR")
    folder = LocalStorage.take(Settings(data_dir=tmp_path), "web")
    assert folder.path == tmp_path / "journal" / "web-w1"


def test_what_is_sealed_opens_by_its_key_and_name_alone() -> None:
    settings = Settings(auth_secret="a secret of the tests that is long enough")  # type: ignore[arg-type]
    key, other = local_key(settings, "journal"), local_key(settings, "directory")
    sealed = seal(key, "a", b"content")
    assert unseal(key, "a", sealed) == b"content"
    assert seal(key, "a", b"content") != sealed
    for wrong, name, content in ((other, "a", sealed), (key, "b", sealed), (key, "a", sealed[:-1])):
        with pytest.raises(Broken):
            unseal(wrong, name, content)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "page"
    write_whole(file, b"before")
    with pytest.raises(TypeError):
        write_whole(file, replace)  # type: ignore[arg-type]
    assert file.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["page"]
