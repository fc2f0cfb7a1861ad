"""The balancer: renders `deploy/haproxy.cfg`, runs the wheel's HAProxy, and speaks to its admin socket."""

import ipaddress
import re
import resource
import socket
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Final

from realtime.engines import binaries, processes
from realtime.engines.errors import EngineError

TEMPLATES = (
    Path(__file__).parents[2] / "deploy" / "haproxy.cfg",
    Path(sysconfig.get_path("data")) / "share" / "wayguard" / "haproxy.cfg",
)
"""In the tree; else where a wheel put its copy."""
REQUESTS_PER_10S = 20_000
"""Requests an address may make in ten seconds; see the template."""
SAFETY_PART: Final = 5
"""One in so many connections is the safety frontend's, where there is one."""
PRIVATE_CONNECTIONS: Final = 20
"""Connections of the frontend that serves metrics."""
_SAFETY: Final = re.compile(r"^# \[safety\b.*?^# safety\]\n\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Balancer:
    """What the template needs. ``servers``: instance name -> ``host:port``; ``workers``: the same.

    ``maxconn``: client connections of all frontends together. ``connections_per_address``: of those, how many
    one address may have open at the public frontend; 0 = half of what that takes. ``safety_binds``: where an
    SOS, answers and providers' callbacks have a frontend with connections of its own; none = nowhere.
    """

    binds: Sequence[str]
    servers: Mapping[str, str]
    admin_socket: Path
    metrics_bind: str
    threads: int = 1
    requests_per_10s: int = REQUESTS_PER_10S
    maxconn: int = field(default_factory=lambda: connections_allowed())
    workers: Mapping[str, str] = field(default_factory=dict)
    safety_binds: Sequence[str] = ()
    connections_per_address: int = 0

    @property
    def private_maxconn(self) -> int:
        """Connections of the frontend for metrics."""
        return min(PRIVATE_CONNECTIONS, self.maxconn // 5)

    @property
    def safety_maxconn(self) -> int:
        """Connections of the safety frontend; 0 when there is none."""
        return self.maxconn // SAFETY_PART if self.safety_binds else 0

    @property
    def public_maxconn(self) -> int:
        """Connections of the public frontend."""
        return self.maxconn - self.safety_maxconn - self.private_maxconn

    def render(self) -> str:
        """The configuration's text."""
        addresses = [*self.servers.values(), *self.workers.values()]
        by_name = any(not _is_address(address) for address in addresses)
        resolved = " resolvers names" if by_name else ""
        template = _template() if self.safety_binds else _SAFETY.sub("", _template())
        return Template(template).substitute(
            maxconn=self.maxconn,
            public_maxconn=self.public_maxconn,
            private_maxconn=self.private_maxconn,
            safety_maxconn=self.safety_maxconn,
            safety_binds="\n".join(f"    bind {bind}" for bind in self.safety_binds),
            connections_per_address=self.connections_per_address or max(1, self.public_maxconn // 2),
            safety_connections_per_address=max(1, self.safety_maxconn // 2),
            threads=self.threads,
            admin_socket=quoted(str(self.admin_socket)),
            requests_per_10s=self.requests_per_10s,
            metrics_bind=self.metrics_bind,
            binds="\n".join(f"    bind {bind}" for bind in self.binds),
            servers="\n".join(
                f"    server {name} {address}{resolved}" for name, address in self.servers.items()
            ),
            workers="\n".join(
                [
                    *(f"    server {name} {address}{resolved}" for name, address in self.workers.items()),
                    *(
                        f"    server {name} {address}{resolved} no-check track web/{name} backup"
                        for name, address in self.servers.items()
                    ),
                ]
            ),
            alive="\n".join(
                [
                    *(f"    server {name} {address}{resolved}" for name, address in self.workers.items()),
                    *(
                        f"    server {name} {address}{resolved} backup"
                        for name, address in self.servers.items()
                    ),
                ]
            ),
            # Containers change their address when they are made anew: ask the machine's resolver again.
            resolvers="resolvers names\n    parse-resolv-conf\n    hold valid 5s\n" if by_name else "",
        )

    def write(self, file: Path) -> None:
        """Put the configuration into ``file``."""
        file.write_text(self.render(), encoding="utf-8", errors="surrogateescape")

    def command(self, file: Path) -> processes.Command:
        """HAProxy in the foreground on the configuration in ``file``."""
        return processes.Command(
            [str(binaries.haproxy()), "-db", "-q", "-f", str(file)],
            processes.bare_environment(),
            stop_timeout_s=5.0,
        )


def _template() -> str:
    file = next((file for file in TEMPLATES if file.is_file()), None)
    if file is None:
        raise EngineError("the balancer's template is missing: deploy/haproxy.cfg")
    return file.read_text(encoding="utf-8")


def quoted(text: str) -> str:
    """``text`` as one word of HAProxy's configuration, whatever is in it.

    In an address HAProxy replaces ``$name`` afterwards all the same: see `DataDir.socket_folder`.
    """
    return "'" + text.replace("'", "'\\''") + "'"


def connections_allowed() -> int:
    """Client connections that the limit on open files leaves room for: each takes two, one on either side."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit = 1_000_000 if limit == resource.RLIM_INFINITY else limit
    return max(50, min(100_000, (limit - 200) // 2))


def ask(admin_socket: Path, command: str, timeout_s: float = 2.0) -> str:
    """What HAProxy answers to an admin ``command``, such as ``show servers state``. Raises EngineError."""
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(timeout_s)
            channel.connect(str(admin_socket))
            channel.sendall(command.encode() + b"\n")
            answer = b""
            while chunk := channel.recv(65_536):
                answer += chunk
    except OSError as problem:
        raise EngineError(f"haproxy's admin socket: {problem.strerror or problem}") from problem
    return answer.decode(errors="replace").strip()


def drain(admin_socket: Path, server: str) -> None:
    """Send ``server`` no new sessions; those it has go on. Raises EngineError."""
    if answer := ask(admin_socket, f"set server web/{server} state drain"):
        raise EngineError(f"haproxy: {answer}")


def _is_address(address: str) -> bool:
    try:
        ipaddress.ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return True
