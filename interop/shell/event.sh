#!/usr/bin/env bash
# A relay client for the protocol "event", with bash and OpenBSD's nc.
# Usage: event.sh <relay_host> <relay_port> <local_host> <local_port>
#
# nc keeps its output open for as long as its input is: the end that a user
# sends reaches the local server only after the server has ended too. This is
# also why bash, not nc, connects to the local server: so that its end is seen
# (by cat), and carried to the user (by nc -N).

relay=("$1" "$2")
server=/dev/tcp/$3/$4

join() {
	# If the server is not there the user is claimed all the same, and ended.
	{ exec 4<>"$server"; } 2>/dev/null || exec 4<>/dev/null
	exec 3< <(printf 'event\n%s\n' "$1"; exec cat <&4)
	nc -N "${relay[@]}" <&3 >&4
	kill $! 2>/dev/null # cat would go on waiting for the server
}

# Without -N, nc does not end the control connection behind these lines.
exec 3< <(exec nc "${relay[@]}" < <(printf 'event\nnew\n'))
trap "kill $! 2>/dev/null" EXIT
read -r port <&3
[[ $port =~ ^[0-9]+$ ]] || { echo "refused: $port" >&2; exit 1; }
echo "$port"
while read -r id <&3; do join "$id" & done
echo 'the relay is gone' >&2
exit 1
