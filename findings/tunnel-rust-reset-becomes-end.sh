#!/usr/bin/env bash
# rathole 0.5.0 and bore 0.5.3: a reset of the server's connection reaches the user as
# a clean end.
#
# Behavior: the server behind the tunnel sends 5 bytes, and then resets its connection.
# A user who is connected to the server sees the reset (ECONNRESET). A user behind either
# tunnel reads the 5 bytes and an end, as after a close. Both tunnels copy until one side
# fails, and then drop the two connections; closing the user's without SO_LINGER sends FIN.
# A download of a server that crashed is cut, and looks complete.
#
# What to do: use a protocol that has its own end (Content-Length, chunked encoding, TLS
# with close_notify checked, a checksum), or compare sizes. An end of the connection does
# not mean that everything has come.
#
# Needs cargo and python3, and port 7835 of loopback free, which bore uses. Compiling takes
# some minutes. Exits with 0 while the behavior is as described, 1 once it differs.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
# Nothing is left in the user's folder of crates.
if [ -e "${CARGO_HOME:-$HOME/.cargo}/config.toml" ]; then
	mkdir "$dir/cargo" && cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$dir/cargo/"
fi
export CARGO_HOME=$dir/cargo
{
	cargo install --root "$dir" --target-dir "$dir/target" rathole --version 0.5.0 --no-default-features --features server,client
	cargo install --root "$dir" --target-dir "$dir/target" bore-cli --version 0.5.3
} >install.log 2>&1 || { cat install.log; exit 1; }
export PATH="$dir/bin:$PATH"
cat >fate.py <<'PY'
import socket, struct, subprocess, threading, time

def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

def serve(listener, end):
    """Answers each request with 5 bytes, and then ends the connection."""
    while True:
        conn, _ = listener.accept()
        conn.recv(100)
        conn.sendall(b"12345")
        time.sleep(0.5)  # they are delivered before the end
        if end == "reset":
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        conn.close()

def fate(port):
    """What a user sees after the 5 bytes."""
    for _ in range(100):
        try:
            user = socket.create_connection(("127.0.0.1", port), timeout=10)
            user.sendall(b"?")
            got = b""
            while len(got) < 5:
                more = user.recv(5 - len(got))
                if not more:
                    raise ConnectionError
                got += more
            break
        except OSError:
            time.sleep(0.1)  # the tunnel is not up yet
    try:
        return "%r, then %s" % (got.decode(), "an end" if not user.recv(5) else "more")
    except ConnectionResetError:
        return "%r, then a reset" % got.decode()

def rathole(local):
    control, public = free(), free()
    common = 'default_token = "t"\n[%s.services.s]\n%s = "127.0.0.1:%d"\n'
    for side, head, key, port in (("server", "bind_addr", "bind_addr", public), ("client", "remote_addr", "local_addr", local)):
        with open(side + ".toml", "w") as f:
            f.write('[%s]\n%s = "127.0.0.1:%d"\n' % (side, head, control) + common % (side, key, port))
    return public, [["rathole", "--server", "server.toml"], ["rathole", "--client", "client.toml"]]

def bore(local):
    # Its control port cannot be chosen.
    public = free()
    return public, [["bore", "server", "--bind-addr", "127.0.0.1"],
                    ["bore", "local", str(local), "--to", "127.0.0.1", "--port", str(public)]]

for tunnel in (None, rathole, bore):
    for end in ("close", "reset"):
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=serve, args=(listener, end), daemon=True).start()
        local = listener.getsockname()[1]
        public, commands = tunnel(local) if tunnel else (local, [])
        running = []
        for command in commands:
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            time.sleep(1)
        try:
            print("%-8s the server's %s: %s" % (tunnel.__name__ if tunnel else "direct", end, fate(public)), flush=True)
        finally:
            for p in running:
                p.kill()
                p.wait()
PY
python3 fate.py | tee seen
# Seen on 2026-11-30:
diff - seen <<'SEEN' && echo "as described"
direct   the server's close: '12345', then an end
direct   the server's reset: '12345', then a reset
rathole  the server's close: '12345', then an end
rathole  the server's reset: '12345', then an end
bore     the server's close: '12345', then an end
bore     the server's reset: '12345', then an end
SEEN
