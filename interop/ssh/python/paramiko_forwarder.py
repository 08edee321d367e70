"""Puts a local server online with ssh -R, on paramiko.

    python paramiko_forwarder.py <relay> <port> <local_host> <local_port>

README.md says what the environment sets. The relay's host key is not verified.
"""
import os
import socket
import sys
import threading

import paramiko


def pump(src, dst):
    """Copies until src has ended, and then ends dst in this direction alone."""
    try:
        while data := src.recv(32768):
            dst.sendall(data)
        dst.shutdown(socket.SHUT_WR) if isinstance(dst, socket.socket) else dst.shutdown_write()
    except (OSError, EOFError):
        for end in (src, dst):
            end.close()


def serve(channel, address):
    try:
        local = socket.create_connection(address)
    except OSError:
        channel.close()
        return
    back = threading.Thread(target=pump, args=(local, channel))
    back.start()
    pump(channel, local)
    back.join()
    local.close()
    channel.close()


def main():
    relay, port, local_host, local_port = sys.argv[1:5]
    user, key = os.environ.get("SSH_USER", "me"), os.environ.get("SSH_KEY")
    socket_to_relay = socket.create_connection((relay, int(port)))
    socket_to_relay.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(socket_to_relay)
    transport.start_client()
    if key:
        transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(key))
    elif "auth+none" in user:
        transport.auth_none(user)
    else:
        transport.auth_interactive(user, lambda *_: [])

    def opened(channel, origin, server):
        threading.Thread(target=serve, args=(channel, (local_host, int(local_port))), daemon=True).start()

    bound = transport.request_port_forward(
        os.environ.get("BIND", "localhost"), int(os.environ.get("ASKED_PORT", "0")), opened)
    print("port", bound, flush=True)
    transport.join()
    sys.exit(1)


main()
