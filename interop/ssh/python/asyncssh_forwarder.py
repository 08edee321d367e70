"""Puts a local server online with ssh -R, on asyncssh.

    python asyncssh_forwarder.py <relay> <port> <local_host> <local_port>

README.md says what the environment sets. The relay's host key is not verified.
"""
import asyncio
import os
import sys

import asyncssh


class Client(asyncssh.SSHClient):
    """Answers keyboard-interactive without a question; asyncssh leaves it out otherwise."""

    def kbdint_auth_requested(self):
        return ""

    def kbdint_challenge_received(self, name, instructions, lang, prompts):
        return []


async def main():
    relay, port, local_host, local_port = sys.argv[1:5]
    key = os.environ.get("SSH_KEY")
    async with asyncssh.connect(
            relay, int(port), username=os.environ.get("SSH_USER", "me"), known_hosts=None, config=None,
            client_keys=[key] if key else None, client_factory=Client, keepalive_interval=15) as connection:
        listener = await connection.forward_remote_port(
            os.environ.get("BIND", "localhost"), int(os.environ.get("ASKED_PORT", "0")), local_host, int(local_port))
        print("port", listener.get_port(), flush=True)
        await connection.wait_closed()
    sys.exit(1)


asyncio.run(main())
