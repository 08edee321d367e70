#!/usr/bin/env bash
# gunicorn 27.0.1: with --proxy-protocol on [::], a proxy on 127.0.0.1 is refused
# although 127.0.0.1 is allowed.
#
# Behavior: who may send a PROXY protocol header is a list of addresses
# (--proxy-allow-from, which holds 127.0.0.1 and ::1 by itself). Bound to 0.0.0.0
# a header from 127.0.0.1 is taken. Bound to [::], which takes IPv4 as well, the
# same proxy's address is the mapped ::ffff:127.0.0.1, which is compared as it
# stands: 403 Forbidden for each request.
#
# What to do: bind the address family that the proxy uses, or list the mapped
# address too: --proxy-allow-from='127.0.0.1,::1,::ffff:127.0.0.1'.
#
# Needs python3 with venv. Exits with 0 while the behavior is as described, 1 once
# it differs.
set -euo pipefail
dir=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill "$server" && wait "$server" || true; } 2>/dev/null; server=; }
trap 'stop; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check --no-cache-dir gunicorn==27.0.1
cat >app.py <<'PY'
def application(environ, start_response):
    body = environ["REMOTE_ADDR"].encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
PY
cat >ask.py <<'PY'
import socket, sys, time
for _ in range(400):
    try:
        s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        break
    except ConnectionRefusedError:
        time.sleep(0.05)
s.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 51512 80\r\n"
          b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
answer = b""
while data := s.recv(4096):
    answer += data
status = answer.split(b"\r\n")[0].split(b" ", 1)[1].decode()
print((status + " " + answer.split(b"\r\n\r\n")[1].decode()) if status.startswith("200") else status)
PY
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ask() { # ask BIND [option]
	local port
	port=$(free)
	env/bin/gunicorn --bind "$1:$port" --proxy-protocol=auto "${@:2}" app >gunicorn.log 2>&1 &
	server=$!
	env/bin/python ask.py "$port"
	stop
}
{
	echo "0.0.0.0: $(ask 0.0.0.0)"
	echo "[::]: $(ask '[::]')"
	echo "[::], mapped address listed: $(ask '[::]' --proxy-allow-from='127.0.0.1,::1,::ffff:127.0.0.1')"
} | tee seen
# Seen on 2026-11-30 with Python 3.11:
diff - seen <<'SEEN' && echo "as described"
0.0.0.0: 200 OK 192.0.2.7
[::]: 403 Forbidden
[::], mapped address listed: 200 OK 192.0.2.7
SEEN
