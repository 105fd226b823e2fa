"""A PostgreSQL server of a case's own, to be restarted and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from bench.fresh import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from servers import PostgresServer, _folders

__all__ = ["OwnServer"]


class OwnServer:
    """Starts, restarts and kills; its data survive, as `fsync` is on."""

    def __init__(self) -> None:
        folder = next(f for f in _folders() if (f / "postgres").exists())
        self._server = PostgresServer(folder, fsync=True)
        self.url = self._server.url

    def restart(self) -> float:
        """End all sessions, as an administrator does; return when it is ready again."""
        process = self._process()
        process.send_signal(signal.SIGINT)
        process.wait(60)
        return self._start()

    def kill(self) -> float:
        """End the whole server at once, as a loss of power does."""
        process = self._process()
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        for number in (process.pid, *map(int, children)):
            with_no_mercy(number)
        process.wait(60)
        (self._server.data / "db" / "postmaster.pid").unlink(missing_ok=True)
        return self._start()

    def _start(self) -> float:
        (self._server.data / "log").write_bytes(b"")
        self._server.start()
        return time.monotonic()

    def _process(self) -> subprocess.Popen[bytes]:
        assert self._server.process is not None
        return self._server.process

    def stop(self) -> None:
        self._server.stop()


def with_no_mercy(number: int) -> None:
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return
