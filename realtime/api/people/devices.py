"""Devices over HTTP: the apps' push tokens, each its own subject's."""

from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import Done, NoBody, NoPath, NoQuery
from realtime.api.people.shapes import DeviceBody, DeviceKept, DevicePath, Devices, DeviceView
from realtime.contacts import validation
from realtime.protocol import Code, Refused
from realtime.store.people import devices, tenants
from realtime.store.people.devices import DeviceOwner


async def register_device(call: OperationCall[NoPath, NoQuery, DeviceBody]) -> DeviceKept:
    """Again is fine, and is how an app says that it is still there."""
    principal, db = call.principal, call.context.db
    language = validation.language_of(call.body.language)
    owner = DeviceOwner(principal.sub, principal.role, principal.vendors, principal.driver, principal.jti)
    await tenants.ensure_vendors(db, principal.tenant, [])
    device_id = await devices.register(
        db, principal.tenant, owner, call.body.push_token, call.body.platform, language
    )
    return DeviceKept(device_id=device_id)


async def list_devices(call: OperationCall[NoPath, NoQuery, NoBody]) -> Devices:
    """The caller's own."""
    found = await devices.of_subject(call.context.db, call.principal.tenant, call.principal.sub)
    return Devices(
        devices=[DeviceView(one.device_id, one.platform, one.language, one.seen_ms) for one in found]
    )


async def delete_device(call: OperationCall[DevicePath, NoQuery, NoBody]) -> Done:
    """One of the caller's own: what an app does when somebody logs out."""
    if not await devices.delete(
        call.context.db, call.principal.tenant, call.principal.sub, call.path.device_id
    ):
        raise Refused(Code.NOT_FOUND, "no such device")
    return Done()
