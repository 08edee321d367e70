#!/usr/bin/env python3
"""A relay client for the protocol "multiplex", with the yamux of py-libp2p.

Usage: multiplex.py <relay_host> <relay_port> <local_host> <local_port>
"""

import socket
import struct
import sys

import trio
from libp2p.network.connection.exceptions import RawConnError
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamEOF,
    MuxedStreamReset,
)
from libp2p.stream_muxer.yamux.yamux import Yamux


def set_linger(server, on):
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, 0))


class Relay:
    """The connection to the relay, with the methods that the library calls."""

    def __init__(self, stream):
        self.stream = stream
        self.ended = False  # set before any user's stream shows an end

    async def read(self, n):
        # All of it: the library drops a frame that it gets in more than 101 pieces.
        data = b""
        try:
            while len(data) < n:
                piece = await self.stream.receive_some(n - len(data))
                if not piece:
                    self.ended = True
                    break
                data += piece
        except trio.BrokenResourceError:
            self.ended = True
        return data

    async def write(self, data):
        # A user who is given up during a write must not leave half a frame.
        with trio.CancelScope(shield=True):
            try:
                await self.stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self.ended = True
                raise RawConnError("connection closed")

    async def close(self):
        await self.stream.aclose()


class User:
    def __init__(self, relay, stream):
        self.relay, self.stream = relay, stream

    async def read(self):
        """Returns no bytes for the user's FIN only.

        The library also shows a reset, and the end of the session, as an end.
        """
        try:
            return await self.stream.read(65536)
        except MuxedStreamEOF:
            gone = self.relay.ended or self.stream.conn.event_shutting_down.is_set()
            if gone or self.stream.reset_received:
                raise MuxedStreamReset("reset")
            return b""

    async def write(self, data):
        while data:
            # The library's own wait fails after 5 seconds, as with every user who
            # pauses a download. What fits into the window does not wait.
            while self.stream.send_window == 0:
                if self.stream.closed:
                    raise MuxedStreamReset("reset")
                await trio.sleep(0.01)
            fits = data[: self.stream.send_window]
            await self.stream.write(fits)
            data = data[len(fits) :]


async def from_user(user, server):
    while data := await user.read():
        await server.send_all(data)
    await server.send_eof()


async def to_user(server, user):
    while data := await server.receive_some(65536):
        await user.write(data)
    await user.stream.close()  # ends this direction only


async def serve(user, local):
    server = None
    try:
        server = await trio.open_tcp_stream(*local)
        # From here on the system sends a reset if the process is killed.
        set_linger(server, 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(from_user, user, server)
            nursery.start_soon(to_user, server, user)
        set_linger(server, 0)
    except Exception as error:
        print(repr(error), file=sys.stderr)
    finally:
        with trio.CancelScope(shield=True):
            if server:
                await server.aclose()
            await user.stream.reset()  # has no effect after a good end


async def main(relay_host, relay_port, local_host, local_port):
    stream = await trio.open_tcp_stream(relay_host, int(relay_port))
    await stream.send_all(b"multiplex\n")
    line = b""
    while not line.endswith(b"\n"):
        byte = await stream.receive_some(1)  # what follows belongs to yamux
        if not byte:
            sys.exit("the relay closed the connection")
        line += byte
    port = line.decode().rstrip()
    if not port.isdigit():
        sys.exit(f"refused: {port}")
    relay = Relay(stream)
    session = Yamux(relay, ID(b"relay"), is_initiator=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.start)
        print(port, flush=True)
        try:
            while True:
                user = User(relay, await session.accept_stream())
                nursery.start_soon(serve, user, (local_host, int(local_port)))
        except MuxedConnUnavailable:
            nursery.cancel_scope.cancel()
    sys.exit("the relay is gone")


if __name__ == "__main__":
    try:
        trio.run(main, *sys.argv[1:])
    except OSError as error:
        sys.exit(f"the relay is gone: {error}")
