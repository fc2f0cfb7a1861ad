"""Which system tests share a cluster: the one place where `pytest -n` learns what may run at the same time.

Every process of pytest-xdist starts one cluster when a test needs it. The files that use it are split
in two scopes of about equal time. A file that is not named here joins `PEOPLE`. Move a file to even them out.
"""

from collections.abc import Sequence

FOLDER = "tests/e2e/"
PEOPLE = "system: people"
"""Pages, apps and examples on the running cluster."""
FAULTS = "system: faults"
"""What is broken beneath them, and what is whole afterwards."""

CLUSTERS_OF_THEIR_OWN = ("test_many_instances.py", "test_outside_demo.py", "test_proxy.py", "test_scopes.py")
"""They do not use the shared cluster."""
IN_FAULTS = (
    "test_liverpool.py",
    "test_engines_away.py",
    "test_sos_delivery.py",
    "test_sos_away.py",
    "test_journeys_of_yesterday.py",
    "test_drain.py",
    "test_endings.py",
    "test_revocation.py",
)

LONGEST_FIRST = (
    FAULTS,
    PEOPLE,
    "tests/pages/test_console_fleet.py",
    "tests/pages/test_contact_sos.py",
    "tests/pages/test_console_desk.py",
    "tests/pages/test_console_speed.py",
    "tests/loadtests/test_side_by_side.py",
    "tests/pages/test_drive.py",
    "tests/engines/test_supervisor.py",
    "tests/e2e/test_many_instances.py",
    "tests/pages/test_contact.py",
    "tests/matrix/test_matrix.py",
    "tests/fanout/model/test_model.py",
    "tests/e2e/test_outside_demo.py",
)
"""The scopes that take longest begin first, so that no process is left alone with one in the end."""


def scope_of(nodeid: str) -> str:
    """Return what one process runs in a row: the tests of a file, or all of a cluster."""
    file = nodeid.partition("::")[0]
    name = file.removeprefix(FOLDER)
    if name == file or name in CLUSTERS_OF_THEIR_OWN:
        return file
    return FAULTS if name in IN_FAULTS else PEOPLE


def rank_of(nodeid: str, early: Sequence[str]) -> int:
    """Return the place of a test in the order of a run; ``early``: folders that come before the rest."""
    scope = scope_of(nodeid)
    if scope in LONGEST_FIRST:
        return LONGEST_FIRST.index(scope)
    return len(LONGEST_FIRST) + (not nodeid.startswith(tuple(early)))
