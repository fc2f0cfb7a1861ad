"""Policies: what may be set, what is built in, what an alert takes along."""

from typing import Any

import pytest
from msgspec.structs import replace

from alerts.alert import MAX_LOOPS, Kind
from alerts.attempt import Channel
from alerts.policy import (
    DEFAULTS,
    DISPATCH,
    Circumstances,
    Contact,
    Pins,
    Policy,
    address_of,
    check,
    copy_of,
)
from tests.alerts.kit import ANA, ANA_THEN_BEN, DESK, DISPATCHERS, MUTE, circumstances

STEP = ANA_THEN_BEN.steps[0]


def policy(**changes: Any) -> Policy:
    return replace(ANA_THEN_BEN, **changes)


def with_step(**changes: Any) -> Policy:
    return policy(steps=(replace(STEP, **changes),))


@pytest.mark.parametrize(
    ("bad", "fact"),
    [
        (policy(steps=()), "a policy has 1 to 20 steps"),
        (policy(steps=(STEP,) * 21), "a policy has 1 to 20 steps"),
        (policy(loops=0), "loops is not 1 to 20"),
        (policy(loops=21), "loops is not 1 to 20"),
        (policy(countdown_s=-1), "countdown_s is not 0 to 300"),
        (policy(countdown_s=301), "countdown_s is not 0 to 300"),
        (policy(ack_silence_s=59), "ack_silence_s is not 60 to 86400"),
        (policy(exhausted_channels=()), "exhausted_channels is empty"),
        (policy(exhausted_channels=(Channel.SMS, Channel.SMS)), "exhausted_channels has a channel twice"),
        (with_step(contacts=()), "step 1 has not 1 to 50 contacts"),
        (with_step(contacts=tuple(str(n) for n in range(51))), "step 1 has not 1 to 50 contacts"),
        (with_step(contacts=("",)), "step 1 has a contact that is no id"),
        (with_step(contacts=("x" * 65,)), "step 1 has a contact that is no id"),
        (with_step(contacts=("ana", "ana")), "step 1 has a contact twice"),
        (with_step(channels=()), "step 1 has no channels"),
        (with_step(fallback=(Channel.SMS,)), "step 1 has a channel twice"),
        (with_step(wait_s=9), "step 1 does not wait 10 to 3600 s"),
        (with_step(wait_s=3_601), "step 1 does not wait 10 to 3600 s"),
        (
            policy(steps=(replace(STEP, wait_s=3_600),) * 5, loops=5),
            "its steps and loops last more than 86400 s",
        ),
    ],
)
def test_a_policy_out_of_bounds_is_refused_with_one_fact(bad: Policy, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        check(bad)


def test_a_policy_within_bounds_is_taken_as_it_is() -> None:
    assert check(ANA_THEN_BEN) is ANA_THEN_BEN
    check(policy(steps=(replace(STEP, wait_s=10),) * 20, loops=20))


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_built_in_policy_that_a_person_could_set(kind: Kind) -> None:
    assert check(DEFAULTS[kind]).loops <= MAX_LOOPS


def test_only_what_a_machine_noticed_counts_down() -> None:
    assert {kind for kind in Kind if DEFAULTS[kind].countdown_s} == {Kind.CRASH, Kind.FALL}
    assert DEFAULTS[Kind.FALL].countdown_s == 30


def test_an_alert_takes_along_the_policy_of_its_kind_and_the_dispatchers() -> None:
    own = Circumstances({Kind.SOS: ANA_THEN_BEN}, (ANA, DESK), Pins(), "Dee", "de")
    copy = copy_of(own, Kind.SOS)
    assert copy.policy == ANA_THEN_BEN
    assert [contact.contact_id for contact in copy.contacts] == [DISPATCH, "ana", "operator"]
    assert (copy.driver_name, copy.language) == ("Dee", "de")
    assert copy_of(own, Kind.FALL).policy == DEFAULTS[Kind.FALL]
    assert copy_of(circumstances(), Kind.SOS).contacts == circumstances().contacts


@pytest.mark.parametrize(
    ("contact", "channels"),
    [
        (ANA, {Channel.SMS, Channel.CALL, Channel.EMAIL, Channel.PUSH}),
        (MUTE, set()),
        (DESK, {Channel.SMS, Channel.CALL, Channel.WEBHOOK}),
        (DISPATCHERS, {Channel.SOCKET, Channel.PUSH}),
    ],
)
def test_a_contact_is_told_by_what_it_has_an_address_for(contact: Contact, channels: set[Channel]) -> None:
    assert {channel for channel in Channel if address_of(contact, channel)} == channels
