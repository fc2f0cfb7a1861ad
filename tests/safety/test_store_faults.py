"""What a process says of statements about alerts that Postgres failed."""

from realtime.alerting.store_faults import RECENT_MS, StoreFaults
from realtime.cli.findings import DoctorFinding, postgres
from realtime.settings import Settings
from realtime.store.alerts import health
from realtime.store.alerts.health import BeatDetail, StoreFaultBeat
from realtime.store.db.database import Database


def test_failed_statements_are_counted_for_five_minutes() -> None:
    now_ms, counted = 1_000_000, 7.0
    faults = StoreFaults(lambda: now_ms, lambda: counted)
    assert faults.recent() == StoreFaultBeat()
    assert faults.warnings() == {}
    counted = 9.0
    assert faults.recent() == StoreFaultBeat(2, now_ms)
    now_ms, counted = now_ms + RECENT_MS, 10.0
    assert faults.recent() == StoreFaultBeat(3, now_ms)
    assert "failed 3 statements" in faults.warnings()["alert_store"]
    now_ms += 1
    assert faults.recent() == StoreFaultBeat(1, now_ms - 1)
    now_ms += RECENT_MS
    assert faults.recent() == StoreFaultBeat()


async def test_the_doctor_names_the_process_whose_statements_fail(database_url: str) -> None:
    settings = Settings(database_url=database_url)  # type: ignore[arg-type]
    db = await Database.open(settings)

    async def found() -> DoctorFinding:
        return next(one for one in await postgres(settings) if one.subject == "alert store")

    assert not (await found()).is_fault
    await health.beat(db, "worker1", health.WORKER, BeatDetail(store_faults=StoreFaultBeat(4, 1)))
    await health.beat(db, "worker2", health.WORKER, BeatDetail())
    await db.close()
    assert (await found()).is_fault
    assert (await found()).text == "postgres fails statements about alerts: worker1 (4)"
