"""Policies over HTTP: set for a tenant, a vendor or a driver; and what they come to for one driver."""

from typing import Any

from alerts.alert import Kind
from alerts.policy import ALL, DISPATCH, OPERATOR, Policy, Step, check, copy_of
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import Done, NoBody
from realtime.api.people.scopes import driver_of, scope_of
from realtime.api.people.shapes import (
    DriverPath,
    Escalation,
    KindPath,
    KindQuery,
    PlannedStep,
    PolicyBody,
    PolicyStep,
    PolicyView,
    ScopeQuery,
    Told,
    Untold,
)
from realtime.auth import authorize
from realtime.contacts import preview
from realtime.protocol import Code, Refused
from realtime.store.people import contacts, policies
from realtime.store.people.contacts import Scope


async def get_policy(call: OperationCall[KindPath, ScopeQuery, NoBody]) -> PolicyView:
    """What is set for exactly this scope."""
    scope = await scope_of(call, call.query.vendor, call.query.driver, make=False)
    found = await policies.get(call.context.db, call.principal.tenant, scope, call.path.kind)
    return _view(call.path.kind, scope, found)


async def put_policy(call: OperationCall[KindPath, ScopeQuery, PolicyBody]) -> PolicyView:
    """Counts for alerts raised from now on."""
    policy = _checked(call.body)
    scope = await _settable(call, make=True)
    await _contacts_known(call, scope, policy)
    kind, by = call.path.kind, call.principal.sub
    found = await policies.put(call.context.db, call.principal.tenant, scope, kind, policy, by)
    return _view(kind, scope, found)


async def delete_policy(call: OperationCall[KindPath, ScopeQuery, NoBody]) -> Done:
    """The next wider one counts again. Again is fine."""
    scope = await _settable(call, make=False)
    await policies.delete(call.context.db, call.principal.tenant, scope, call.path.kind)
    return Done()


async def escalation(call: OperationCall[DriverPath, KindQuery, NoBody]) -> Escalation:
    """A dry run: nobody is told."""
    scope = await driver_of(call, call.path.driver)
    assert scope.vendor is not None and scope.driver is not None
    db, tenant, kind = call.context.db, call.principal.tenant, call.query.kind
    operator = contacts.operator_of(call.context.settings, tenant)
    found = await contacts.circumstances(db, tenant, scope.vendor, scope.driver, operator)
    copy = copy_of(found, kind)
    steps = preview.planned(copy)
    known = await contacts.reaching(db, tenant, scope.vendor, scope.driver)
    return Escalation(
        driver=scope.driver,
        vendor=scope.vendor,
        kind=kind,
        source=await _source(call, scope, kind),
        countdown_s=copy.policy.countdown_s,
        loops=copy.policy.loops,
        steps=[
            PlannedStep(
                step.after_s,
                step.wait_s,
                [
                    Told(one.contact.contact_id, one.contact.name, list(one.channels), list(one.fallback))
                    for one in step.told
                ],
            )
            for step in steps
        ],
        untold=[Untold(one.contact_id, one.name, list(one.reasons)) for one in preview.untold(copy, known)],
        reaches_somebody=preview.reaches_somebody(steps),
    )


async def _settable(call: OperationCall[KindPath, ScopeQuery, Any], *, make: bool) -> Scope:
    if call.principal.role not in authorize.OVERSEERS:
        raise Refused(Code.FORBIDDEN, "policies are not a driver's to set")
    scope = await scope_of(call, call.query.vendor, call.query.driver, make=make)
    if not authorize.may_set_policy(call.principal, scope.vendor, scope.driver):
        raise Refused(Code.FORBIDDEN, "this policy is not yours to set")
    return scope


async def _source(call: OperationCall[Any, Any, Any], scope: Scope, kind: Kind) -> str:
    scopes = {"driver": scope, "vendor": Scope(scope.vendor), "tenant": Scope()}
    for source, one in scopes.items():
        if await policies.get(call.context.db, call.principal.tenant, one, kind) is not None:
            return source
    return "built_in"


async def _contacts_known(call: OperationCall[Any, Any, Any], scope: Scope, policy: Policy) -> None:
    """Every contact that is named must be one whom the scope's drivers all have."""
    named = {name for step in policy.steps for name in step.contacts} - {ALL, DISPATCH, OPERATOR}
    if not named:
        return
    known = await contacts.reaching(call.context.db, call.principal.tenant, scope.vendor, scope.driver)
    if not named <= {str(contact.contact_id) for contact in known}:
        raise Refused(Code.INVALID, "steps name a contact that this scope does not have")


def _checked(body: PolicyBody) -> Policy:
    steps = (
        Step(tuple(step.contacts), tuple(step.channels), step.wait_s, tuple(step.fallback))
        for step in body.steps
    )
    try:
        return check(
            Policy(
                steps=tuple(steps),
                loops=body.loops,
                countdown_s=body.countdown_s,
                ack_silence_s=body.ack_silence_s,
                exhausted_channels=tuple(body.exhausted_channels),
            )
        )
    except ValueError as error:
        raise Refused(Code.INVALID, str(error)) from error


def _view(kind: Kind, scope: Scope, found: policies.SetPolicy | None) -> PolicyView:
    vendor, driver = scope.vendor, scope.driver
    if found is None:
        return PolicyView(
            kind=kind, vendor=vendor, driver=driver, policy=None, updated_at=None, updated_by=None
        )
    policy = found.policy
    body = PolicyBody(
        steps=[
            PolicyStep(list(step.contacts), list(step.channels), step.wait_s, list(step.fallback))
            for step in policy.steps
        ],
        loops=policy.loops,
        countdown_s=policy.countdown_s,
        ack_silence_s=policy.ack_silence_s,
        exhausted_channels=list(policy.exhausted_channels),
    )
    return PolicyView(
        kind=kind,
        vendor=vendor,
        driver=driver,
        policy=body,
        updated_at=found.updated_ms,
        updated_by=found.updated_by,
    )
