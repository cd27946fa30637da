"""A port mapping, as a container's runtime makes one in user space: what comes to a port here goes to one in a network namespace.

Run as a program it is the half inside: it is handed the sockets that listen outside.
"""

import asyncio
import contextlib
import errno
import socket
import sys

from namespace import Namespace
from process import Process


class Forwarder:
    """One port of the loopback address, for TCP and maybe for UDP, that leads to a port of the namespace's."""

    def __init__(self, inside: Namespace, folder, *, udp: bool):
        self._inside, self._folder = inside, folder
        self._sockets = _listen(udp)
        self.port = self._sockets[0].getsockname()[1]
        self._process: Process | None = None

    def lead_to(self, port: int):
        """Forwards from now on."""
        sockets = [str(socket.fileno()) for socket in self._sockets]
        words = [*self._inside.prefix, sys.executable, __file__, str(port), *sockets]
        fds = [socket.fileno() for socket in self._sockets]
        self._process = Process(words, self._folder / f"forwarder{self.port}.log", pass_fds=fds)

    def end(self):
        for each in self._sockets:
            each.close()
        if self._process:
            self._process.end()


def _listen(udp: bool) -> list[socket.socket]:
    """A listener, and a UDP socket of the same number."""
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        if not udp:
            return [listener]
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagrams.bind(listener.getsockname())
            return [listener, datagrams]
        except OSError as error:
            listener.close()
            datagrams.close()
            if error.errno != errno.EADDRINUSE:
                raise


class _Back(asyncio.DatagramProtocol):
    """What the server answers to one peer."""

    def __init__(self, outside, peer):
        self._outside, self._peer = outside, peer

    def datagram_received(self, data, _address):
        self._outside.sendto(data, self._peer)


class _Datagrams(asyncio.DatagramProtocol):
    """What peers send, each of them through a socket of its own."""

    def __init__(self, port: int):
        self._port = port
        self._inward = {}

    def connection_made(self, transport):
        self._outside = transport

    def datagram_received(self, data, peer):
        if peer not in self._inward:
            self._inward[peer] = asyncio.ensure_future(self._open(peer))
        self._inward[peer].add_done_callback(lambda opened: opened.result().sendto(data))

    async def _open(self, peer):
        loop, back = asyncio.get_running_loop(), lambda: _Back(self._outside, peer)
        return (await loop.create_datagram_endpoint(back, remote_addr=("127.0.0.1", self._port)))[0]


async def _pipe(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _forward(port: int, fds: list[int]):
    async def connected(reader, writer):
        inward, outward = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pipe(reader, outward), _pipe(inward, writer))

    listener, *datagrams = [socket.socket(fileno=fd) for fd in fds]
    server = await asyncio.start_server(connected, sock=listener)
    for each in datagrams:
        each.setblocking(False)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(port), sock=each)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_forward(int(sys.argv[1]), [int(fd) for fd in sys.argv[2:]]))
