"""A TCP proxy that can swallow everything, as a broken network does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class Proxy:
    """Passes bytes on to a server; while `dark`, nothing arrives, and nobody is told.

    Connections from before and during the dark stay dead for ever: a firewall that
    has forgotten them drops what they send.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._dark = False
        self._night = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def darken(self) -> None:
        self._dark = True
        self._night += 1

    def lighten(self) -> None:
        self._dark = False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        night = self._night if not self._dark else -1
        there, back = await asyncio.open_connection(self._host, self._port)
        try:
            await asyncio.gather(self._pass(reader, back, night), self._pass(there, writer, night))
        finally:
            back.close()
            writer.close()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, night: int
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if night == self._night:
                    target.write(data)
                    await target.drain()
            if night == self._night:
                target.close()
