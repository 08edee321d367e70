#!/usr/bin/env bash
# paramiko 5.1.0: a user who comes as soon as a remote forward is granted is refused, although the
# program has done all that there is to do.
#
# Behavior: request_port_forward sends tcpip-forward, waits for the answer, and notes its handler
# for channels only then, on the caller's thread. The thread that reads from the network has seen
# the answer before, and if a forwarded-tcpip channel comes in the next packet it finds no handler
# and refuses it, with reason 1 (administratively prohibited, RFC 4254, 5.1). Networks put packets
# together, so it happens wherever somebody is waiting at the port, as after a reconnect.
#
# What to do: as a server, do not open a channel in the moment of the answer, and try one that is
# refused in the first second or two again. As a client, nothing in paramiko helps: the handler
# cannot be set before.
#
# Needs Go and Python 3.11 with venv. Exits with 0 while the behavior is as described, 1 once it
# differs.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
export GOPATH=$dir/go GOFLAGS=-mod=mod
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log"
	"net"
	"os/exec"
	"time"

	"golang.org/x/crypto/ssh"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// serve grants the forward of a client, and opens a channel for a user after a pause. It reports
// whether the client took the user.
func serve(c net.Conn, config *ssh.ServerConfig, pause time.Duration) bool {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	must(err)
	go func() {
		for ch := range channels {
			_ = ch.Reject(ssh.Prohibited, "")
		}
	}()
	for r := range requests {
		if r.Type != "tcpip-forward" {
			_ = r.Reply(false, nil)
			continue
		}
		must(r.Reply(true, ssh.Marshal(struct{ Port uint32 }{2000})))
		time.Sleep(pause)
		_, _, err := conn.OpenChannel("forwarded-tcpip", ssh.Marshal(struct {
			Bind string
			Port uint32
			From string
			By   uint32
		}{"localhost", 2000, "127.0.0.1", 40000}))
		return err == nil
	}
	return false
}

func main() {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	signer, err := ssh.NewSignerFromKey(key)
	must(err)
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	for _, pause := range []time.Duration{0, 250 * time.Millisecond} {
		const users = 20
		taken := 0
		for range users {
			client := exec.Command("venv/bin/python", "client.py", fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
			must(client.Start())
			c, err := l.Accept()
			must(err)
			if serve(c, config, pause) {
				taken++
			}
			_ = client.Wait()
		}
		fmt.Printf("after %v some are refused: %v\n", pause, taken < users)
		log.Printf("after %v: %d of %d users taken", pause, taken, users)
	}
}
GO
cat >client.py <<'PY'
import sys
import paramiko

transport = paramiko.Transport(("127.0.0.1", int(sys.argv[1])))
transport.start_client()
transport.auth_none("me")
transport.request_port_forward("localhost", 0, lambda channel, origin, server: channel.close())
transport.join(10)
PY
{
	go mod init example.com/finding
	go get golang.org/x/crypto@v0.59.0
	python3 -m venv venv
	venv/bin/pip install paramiko==5.1.0
} >install.log 2>&1 || { cat install.log; exit 1; }
go run . | tee seen
# Seen on 2026-12-01:
diff - seen <<'SEEN' && echo "as described"
after 0s some are refused: true
after 250ms some are refused: false
SEEN
