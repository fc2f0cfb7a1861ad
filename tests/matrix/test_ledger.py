"""The accounts themselves: a wrong one would make every other figure worthless."""

from tests.matrix.ledger import Message, Sos, account, table


def pressed(driver: str, *alerts: str, kind: str = "none", acked: bool = True) -> Sos:
    acked_s = 10.2 if acked else None
    return Sos("calm", kind, driver, f"sos-{driver}", 10.0, acked_s, "committed", set(alerts), is_stored=True)


def test_one_message_reaches() -> None:
    (row,) = account([pressed("d1", "a1")], [Message("sms", "+1", "a1", 11.5)], frozenset())
    assert (row.reached, row.lost, row.doubled, row.first_message_s) == (1, 0, 0, (1.5, 1.5))
    assert row.is_sound


def test_no_message_is_a_loss_unless_it_was_reported() -> None:
    (row,) = account([pressed("d1", "a1")], [], frozenset())
    assert row.lost == 1
    assert not row.is_sound
    (row,) = account([pressed("d1", "a1")], [], frozenset({"a1"}))
    assert (row.lost, row.exhausted) == (0, 1)
    assert row.is_sound


def test_of_a_contact_made_just_before_another_message_and_a_report_reach_nobody() -> None:
    one = pressed("d1", "a1")
    one.contact = "+1"
    (row,) = account([one], [Message("sms", "+2", "a1", 11.0)], frozenset({"a1"}))
    assert (row.reached, row.exhausted, row.lost) == (0, 0, 1)
    (row,) = account([one], [Message("sms", "+2", "a1", 11.0), Message("sms", "+1", "a1", 13.0)], frozenset())
    assert (row.reached, row.lost, row.first_message_s) == (1, 0, (3.0, 3.0))


def test_the_same_channel_twice_is_a_double_and_another_channel_is_not() -> None:
    messages = [
        Message("sms", "+1", "a1", 11),
        Message("sms", "+1", "a1", 12),
        Message("call", "+1", "a1", 12),
    ]
    (row,) = account([pressed("d1", "a1")], messages, frozenset())
    assert (row.messages, row.doubled) == (3, 1)
    assert not row.is_sound
    (row,) = account([pressed("d1", "a1", kind="killed")], messages, frozenset())
    assert row.is_sound


def test_two_alerts_of_one_press_are_never_sound() -> None:
    (row,) = account(
        [pressed("d1", "a1", "a2", kind="killed")], [Message("sms", "+1", "a1", 11)], frozenset()
    )
    assert row.split == 1
    assert not row.is_sound


def test_a_press_without_an_ack_is_not_sound() -> None:
    (row,) = account([pressed("d1", "a1", acked=False)], [Message("sms", "+1", "a1", 11)], frozenset())
    assert not row.is_sound


def test_a_press_that_postgres_never_had_is_not_sound() -> None:
    one = pressed("d1", "a1")
    one.is_stored = False
    (row,) = account([one], [Message("sms", "+1", "a1", 11)], frozenset())
    assert row.unstored == 1
    assert not row.is_sound


def test_the_table_ends_with_sums() -> None:
    presses = [pressed("d1", "a1"), pressed("d2", "a2")]
    told = table(account(presses, [Message("sms", "+1", "a1", 11)], frozenset({"a2"})))
    assert told.splitlines()[-1].startswith("| **all** | | 2 | 2 | | 1 | 1 | 0 | 1 | 0 | 0 | 0")
