#!/usr/bin/env python3
"""A relay client for the protocol "pool".

Usage: pool.py <relay_host> <relay_port> <local_host> <local_port>

The local server is dialled before the user comes, so that a server that
speaks first can put its greeting on the waiting connection.
"""

import asyncio
import socket
import struct
import sys

WAITING = 16  # connections that wait for a user at any time


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


async def copy(reader, writer, on_read=lambda data: None):
    while data := await reader.read(65536):
        on_read(data)
        writer.write(data)
        await writer.drain()
    on_read(b"")
    writer.write_eof()


async def serve(relay, local_address, user_came):
    def on_read(data):
        if not user_came.done():
            user_came.set_result(bool(data))

    local = None
    try:
        local = await dial(local_address)
        await asyncio.gather(
            copy(relay[0], local[1], on_read), copy(local[0], relay[1])
        )
        set_linger(relay[1], 0)
        set_linger(local[1], 0)
    except OSError as error:
        print(error, file=sys.stderr)
    finally:
        on_read(b"")
        for _, writer in filter(None, (relay, local)):
            writer.transport.abort()


async def keep_one_waiting(relay_address, local_address, pool_id, relay=None):
    tasks = set()  # the event loop itself does not keep tasks alive
    while True:
        if not relay:
            relay = await dial(relay_address)
            relay[1].write(b"pool\n" + pool_id + b"\n")
        user_came = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(relay, local_address, user_came))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if not await user_came:
            # No local server, or one that closes waiting connections: an immediate
            # retry would keep both sides busy for nothing.
            await asyncio.sleep(1)
        relay = None


async def main(relay_host, relay_port, local_host, local_port):
    addresses = (relay_host, relay_port), (local_host, local_port)
    first = await dial(addresses[0])
    first[1].write(b"pool\nnew\n")
    port = (await first[0].readline()).decode().rstrip()
    if not port.isdigit():
        sys.exit(f"refused: {port}")
    pool_id = (await first[0].readline()).rstrip()
    print(port, flush=True)
    waiting = [keep_one_waiting(*addresses, pool_id, first)]
    waiting += [keep_one_waiting(*addresses, pool_id) for _ in range(WAITING - 1)]
    await asyncio.gather(*waiting)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except OSError as error:
        sys.exit(f"the relay is gone: {error}")
