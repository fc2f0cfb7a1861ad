"""The rules of who may do what, role by role."""

from dataclasses import replace
from itertools import product
from uuid import UUID

import pytest

from realtime.auth import authorize
from realtime.auth.tokens import Principal, ShareGrant

JOURNEY = UUID("0199d2c8-0000-7000-8000-000000000001")
OTHER = UUID("0199d2c8-0000-7000-8000-000000000002")


def principal(role: str, vendors: set[str] | None = None, **more: object) -> Principal:
    """A principal of tenant t1; ``vendors`` None means all."""
    claim = None if vendors is None else frozenset(vendors)
    fields: dict[str, object] = {"tenant": "t1", "driver": None, "jti": "j", "expires_ms": 0} | more
    return Principal(sub="s", role=role, vendors=claim, **fields)  # type: ignore[arg-type]


DRIVER = principal("driver", {"north"}, driver="d1")
EVERYONE = (
    DRIVER,
    *(principal(role) for role in ("dispatcher", "admin", "service")),
    principal("share", set(), share=ShareGrant("s1", str(JOURNEY), "journey")),
)


@pytest.mark.parametrize("role", ["dispatcher", "admin", "service"])
def test_an_overseer_watches_only_the_vendors_its_claim_names(role: str) -> None:
    some = principal(role, {"north"})
    assert authorize.may_watch_vendor(some, "north")
    assert not authorize.may_watch_vendor(some, "south")
    assert authorize.may_watch_vendor(principal(role), "south"), "None means every vendor"
    assert not authorize.may_watch_vendor(principal(role, set()), "north"), "an empty claim means none"


def test_a_driver_and_a_share_watch_no_vendor() -> None:
    assert not authorize.may_watch_vendor(DRIVER, "north")
    assert not authorize.may_watch_vendor(principal("share"), "north")


def test_a_driver_sees_only_itself_even_among_its_own_vendor() -> None:
    assert authorize.may_watch_driver(DRIVER, "north", "d1")
    assert not authorize.may_watch_driver(DRIVER, "north", "d2")
    assert authorize.may_see_journey(DRIVER, "t1", "north", "d1")
    assert not authorize.may_see_journey(DRIVER, "t1", "north", "d2")


@pytest.mark.parametrize("who", EVERYONE, ids=lambda who: who.role)
def test_nobody_crosses_a_tenant(who: Principal) -> None:
    assert not authorize.may_see_journey(who, "t2", "north", "d1", JOURNEY)
    assert not authorize.may_share(who, "t2", "north", "d1")
    assert not authorize.may_write(who, "t2", "d1")


def test_a_share_sees_its_journey_and_no_other() -> None:
    share = EVERYONE[-1]
    assert authorize.may_see_journey(share, "t1", "north", "d1", JOURNEY)
    assert not authorize.may_see_journey(share, "t1", "north", "d1", OTHER)
    assert not authorize.may_see_journey(share, "t1", "north", "d1")
    assert not authorize.may_share(share, "t1", "north", "d1")
    assert not authorize.may_use_api(share)


def test_a_link_to_an_alert_sees_its_journey_until_the_end_and_an_answer_link_longer() -> None:
    held = ShareGrant("s1", str(JOURNEY), "journey", str(OTHER))
    asked = ShareGrant("", str(JOURNEY), "journey", str(OTHER), "c1")
    for grant, is_contact in ((held, False), (asked, True)):
        link = principal("share", set(), share=grant)
        assert not authorize.may_see_journey(link, "t1", "north", "d1", JOURNEY), (
            "the alert says so, or nothing"
        )
        assert authorize.may_see_journey_of_alert(link, "t1", OTHER, True)
        assert authorize.may_see_journey_of_alert(link, "t1", OTHER, False) == is_contact
        assert authorize.leaves_at_the_end(link) == (not is_contact)
        assert authorize.may_answer_alert(link, "t1", "north", "d1", OTHER, JOURNEY, 1) == is_contact
        assert not authorize.may_see_journey_of_alert(link, "t1", JOURNEY, True)
        assert not authorize.may_see_journey_of_alert(link, "t2", OTHER, True)
    for who in EVERYONE:
        assert not authorize.may_see_journey_of_alert(who, "t1", OTHER, True), who.role


def test_overseers_share_alerts_of_their_vendors_and_nobody_else_does() -> None:
    for who in EVERYONE:
        assert authorize.may_share_alert(who, "t1", "north") == (who.role in authorize.OVERSEERS), who.role
        assert not authorize.may_share_alert(who, "t2", "north")
    assert not authorize.may_share_alert(principal("dispatcher", {"north"}), "t1", "south")


def test_a_share_answers_its_journeys_alerts_when_it_was_made_to_and_no_others() -> None:
    answering = ShareGrant("s1", str(JOURNEY), "journey", None, "share:s1", "Ana", "d1", 100)
    looking = ShareGrant("s1", str(JOURNEY), "journey", None, None, "", "d1")
    cases = [
        ("t1", "d1", JOURNEY, 100, True),
        ("t1", "d1", JOURNEY, 99, False),  # raised before the link was made
        ("t1", "d2", JOURNEY, 100, False),  # another driver's, whose phone names this journey
        ("t1", "d1", OTHER, 100, False),
        ("t1", "d1", None, 100, False),
        ("t2", "d1", JOURNEY, 100, False),
    ]
    for tenant, driver, journey, raised_ms, answers in cases:
        asked = (tenant, "north", driver, OTHER, journey, raised_ms)
        assert authorize.may_answer_alert(principal("share", set(), share=answering), *asked) == answers, (
            asked
        )
        assert not authorize.may_answer_alert(principal("share", set(), share=looking), *asked)
    assert not authorize.may_answer_alert(DRIVER, "t1", "north", "d1", OTHER, JOURNEY, 100)


def test_a_live_share_sees_no_past() -> None:
    live = principal("share", set(), share=ShareGrant("s1", str(JOURNEY), "live"))
    assert not authorize.may_see_past(live)
    assert all(authorize.may_see_past(who) for who in EVERYONE)


def test_only_the_driver_itself_writes_its_log() -> None:
    assert authorize.may_write(DRIVER, "t1", "d1")
    assert not authorize.may_write(DRIVER, "t1", "d2")
    for who in EVERYONE[1:]:
        assert not authorize.may_write(who, "t1", "d1"), who.role


def test_a_dispatcher_token_that_names_a_driver_is_still_no_driver() -> None:
    odd = principal("dispatcher", {"north"}, driver="d1")
    assert not authorize.may_write(odd, "t1", "d1")
    assert authorize.listable_driver(odd) is None


def test_a_list_is_bound_to_the_driver_or_to_the_vendors() -> None:
    assert authorize.may_list_journeys(DRIVER, None, None)
    assert authorize.may_list_journeys(DRIVER, None, "d1")
    assert not authorize.may_list_journeys(DRIVER, None, "d2")
    assert authorize.listable_driver(DRIVER) == "d1"
    north = principal("dispatcher", {"north"})
    assert authorize.may_list_journeys(north, None, None)
    assert authorize.listable_vendors(north) == {"north"}
    assert not authorize.may_list_journeys(north, "south", None)
    assert not authorize.may_list_journeys(EVERYONE[-1], None, None)
    assert authorize.listable_vendors(EVERYONE[-1]) == frozenset()


def test_only_overseers_have_sessions_and_a_session_begets_none() -> None:
    assert {who.role for who in EVERYONE if authorize.may_open_session(who)} == authorize.OVERSEERS
    assert {who.role for who in EVERYONE if authorize.may_have_sessions(who)} == authorize.OVERSEERS
    assert not authorize.may_open_session(principal("admin", session="s1"))


def test_a_session_is_ended_by_its_own_and_by_who_has_the_whole_tenant() -> None:
    for who in EVERYONE:
        assert authorize.may_end_session(who, "t1", "s", None) == (who.role in authorize.OVERSEERS), who.role
        assert authorize.may_end_session(who, "t1", "other", None) == (who.role in {"admin", "service"}), (
            who.role
        )
        assert not authorize.may_end_session(who, "t2", "s", None)


VENDORS_OF_A_TOKEN = [
    (None, False),
    (frozenset(), False),
    (frozenset({"north"}), True),
    (frozenset({"north", "east"}), True),
    (frozenset({"north", "south"}), False),
    (frozenset({"south"}), False),
]


@pytest.mark.parametrize(("vendors", "theirs"), VENDORS_OF_A_TOKEN)
def test_an_admin_of_vendors_reaches_what_is_for_those_vendors_alone(
    vendors: frozenset[str] | None, theirs: bool
) -> None:
    everything, some = principal("admin"), principal("admin", {"north", "east"})
    none, dispatcher = principal("admin", set()), principal("dispatcher", {"north", "east"})
    holder = principal("dispatcher", vendors)
    for who, expected in ((everything, True), (some, theirs), (none, False), (dispatcher, False)):
        assert authorize.may_end_session(who, "t1", "other", vendors) is expected
        assert authorize.may_revoke_token_of(who, holder) is expected
    foreign = replace(holder, tenant="t2")
    assert not authorize.may_revoke_token_of(everything, foreign)


def test_a_jti_alone_is_revoked_by_who_oversees_all_vendors() -> None:
    assert {who.role for who in EVERYONE if authorize.may_revoke_by_jti(who)} == {"admin", "service"}
    for vendors in ({"north"}, set[str]()):
        assert not authorize.may_revoke_by_jti(principal("admin", vendors))
        assert not authorize.may_revoke_by_jti(principal("service", vendors))


def test_a_pairing_is_revoked_by_admins_of_its_vendor() -> None:
    assert {who.role for who in EVERYONE if authorize.may_revoke_pairing(who, "north")} == {
        "admin",
        "service",
    }
    assert authorize.may_revoke_pairing(principal("admin", {"north"}), "north")
    assert not authorize.may_revoke_pairing(principal("admin", {"south"}), "north")
    assert not authorize.may_revoke_pairing(principal("admin", set()), "north")


def test_only_who_oversees_the_vendor_pairs_its_phones() -> None:
    assert {who.role for who in EVERYONE if authorize.may_pair(who, "north")} == authorize.OVERSEERS
    assert not authorize.may_pair(principal("admin", {"south"}), "north")


def test_only_admins_and_services_revoke_tokens() -> None:
    assert {who.role for who in EVERYONE if authorize.may_revoke_tokens(who)} == {"admin", "service"}


def test_an_unknown_role_may_do_nothing() -> None:
    stranger = principal("superuser", driver="d1")
    for vendor, driver in product(("north", "south"), ("d1", "d2")):
        assert not authorize.may_see_journey(stranger, "t1", vendor, driver)
        assert not authorize.may_list_journeys(stranger, vendor, driver)
        assert not authorize.may_write(stranger, "t1", driver)
    assert not authorize.may_list_journeys(stranger, None, None)


SCOPES = {
    "tenant": (None, None),
    "vendor": ("north", None),
    "other vendor": ("south", None),
    "driver": ("north", "d1"),
    "other driver": ("south", "d2"),
    "driver of no known vendor": (None, "d1"),
}


@pytest.mark.parametrize(
    ("who", "manages", "sets"),
    [
        (DRIVER, {"driver"}, set()),
        (principal("dispatcher", {"north"}), {"vendor", "driver"}, {"vendor", "driver"}),
        (principal("dispatcher", set()), set(), set()),
        (
            principal("dispatcher"),
            {"vendor", "other vendor", "driver", "other driver"},
            {"vendor", "other vendor", "driver", "other driver"},
        ),
        (principal("admin", {"north"}), {"vendor", "driver"}, {"vendor", "driver"}),
        (
            principal("service"),
            set(SCOPES) - {"driver of no known vendor"},
            set(SCOPES) - {"driver of no known vendor"},
        ),
        (EVERYONE[-1], set(), set()),
    ],
)
def test_whose_contacts_and_policies_are_whose_to_look_after(
    who: Principal, manages: set[str], sets: set[str]
) -> None:
    assert {name for name, scope in SCOPES.items() if authorize.may_manage_people(who, *scope)} == manages
    assert {name for name, scope in SCOPES.items() if authorize.may_set_policy(who, *scope)} == sets


def test_only_the_driver_chooses_pins_and_only_who_runs_the_tenant_clears_or_erases() -> None:
    for who in EVERYONE:
        runs = who.role in ("admin", "service")
        assert authorize.may_set_pins(who, "d1") == (who.role == "driver")
        assert authorize.may_clear_pins(who, "north", "d1") == runs
        assert authorize.may_erase(who, "north") == runs
        assert authorize.may_erase(who, None) == runs
        assert authorize.sees_addresses(who, "d1") == (runs or who.role == "driver")
    assert not authorize.may_set_pins(DRIVER, "d2")
    some = principal("admin", {"north"})
    assert [authorize.may_erase(some, vendor) for vendor in ("north", "south", None)] == [True, False, False]
