#!/usr/bin/env python3
"""A relay client for the protocol "event".

Usage: event.py <relay_host> <relay_port> <local_host> <local_port>
"""

import asyncio
import socket
import struct
import sys


def set_linger(writer, on):
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, 0)
    )


async def dial(address):
    reader, writer = await asyncio.open_connection(*address)
    # From here on the system sends a reset if the process is killed.
    set_linger(writer, 1)
    # drain() has to wait until the system has all bytes.
    writer.transport.set_write_buffer_limits(0)
    return reader, writer


async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def serve(relay_address, local_address, user_id):
    relay = local = None
    try:
        # Claim the user first: without a claim it could not be reset.
        relay = await dial(relay_address)
        relay[1].write(b"event\n" + user_id + b"\n")
        local = await dial(local_address)
        await asyncio.gather(copy(relay[0], local[1]), copy(local[0], relay[1]))
        set_linger(relay[1], 0)
        set_linger(local[1], 0)
    except OSError as error:
        print(error, file=sys.stderr)
    finally:
        for _, writer in filter(None, (relay, local)):
            writer.transport.abort()


async def main(relay_host, relay_port, local_host, local_port):
    relay, local = (relay_host, relay_port), (local_host, local_port)
    control, writer = await asyncio.open_connection(*relay)
    writer.write(b"event\nnew\n")
    port = (await control.readline()).decode().rstrip()
    if not port.isdigit():
        sys.exit(f"refused: {port}")
    print(port, flush=True)
    tasks = set()  # the event loop itself does not keep tasks alive
    while (line := await control.readline()).endswith(b"\n"):
        task = asyncio.create_task(serve(relay, local, line.rstrip()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    sys.exit("the relay is gone")


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except OSError as error:
        sys.exit(f"the relay is gone: {error}")
