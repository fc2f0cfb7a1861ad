"""The table that splits the system tests between processes."""

from pathlib import Path

from tests.e2e import scopes

ROOT = Path(__file__).parents[2]


def test_the_table_names_only_files_that_exist() -> None:
    named = [scopes.FOLDER + name for name in (*scopes.CLUSTERS_OF_THEIR_OWN, *scopes.IN_FAULTS)]
    named += [scope for scope in scopes.LONGEST_FIRST if scope not in (scopes.FAULTS, scopes.PEOPLE)]
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_a_file_is_one_scope_and_a_cluster_is_one_scope() -> None:
    assert scopes.scope_of("tests/e2e/test_drain.py::test_a[x::y]") == scopes.FAULTS
    assert scopes.scope_of("tests/e2e/test_new.py::test_a") == scopes.PEOPLE
    assert scopes.scope_of("tests/e2e/test_outside_demo.py::test_a") == "tests/e2e/test_outside_demo.py"
    assert scopes.scope_of("tests/unit/test_a.py::TestB::test_c") == "tests/unit/test_a.py"


def test_long_scopes_come_first_then_what_starts_processes() -> None:
    nodeids = ["tests/unit/test_a.py::a", "tests/engines/test_cli.py::a", "tests/e2e/test_new.py::a"]
    nodeids += ["tests/e2e/test_drain.py::a"]
    ranked = sorted(nodeids, key=lambda nodeid: scopes.rank_of(nodeid, ("tests/engines",)))
    assert ranked == nodeids[::-1]
