#!/usr/bin/env bash
# golang.org/x/crypto/ssh v0.59.0: a channel whose connection was lost reads as a
# clean end.
#
# Behavior: the peer sends 5 bytes on a channel, and then its TCP connection is
# reset, with no SSH_MSG_CHANNEL_EOF (RFC 4254, 5.3) before that. The reader of
# the channel gets the 5 bytes and io.EOF, just as after CloseWrite. A copy of
# the channel into a file, or into another connection, is cut and looks complete.
# The channel of requests is closed in both cases soon after, so that it tells
# nothing either.
#
# What to do: after io.EOF do not take the data for complete before the
# connection has shown that it lives, with a request that wants a reply
# (Conn.SendRequest with wantReply: its error is the loss). For a session, wait
# for exit-status; for sftp and the like the protocol inside has its own end.
#
# Needs Go. Exits with 0 while the behavior is as described, 1 once it differs.
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
	"io"
	"log"
	"net"

	"golang.org/x/crypto/ssh"
)

// pair gives a client's channel to send on, its TCP connection, and the server's
// connection and end of that channel.
func pair() (out ssh.Channel, tcp *net.TCPConn, server ssh.Conn, in ssh.Channel) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	signer, err := ssh.NewSignerFromKey(key)
	must(err)
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)

	accepted := make(chan ssh.Channel)
	go func() {
		c, err := l.Accept()
		must(err)
		conn, channels, requests, err := ssh.NewServerConn(c, config)
		must(err)
		server = conn
		go ssh.DiscardRequests(requests)
		in, requests, err := (<-channels).Accept()
		must(err)
		go ssh.DiscardRequests(requests)
		accepted <- in
	}()

	c, err := net.Dial("tcp", l.Addr().String())
	must(err)
	conn, _, requests, err := ssh.NewClientConn(c, "server", &ssh.ClientConfig{HostKeyCallback: ssh.FixedHostKey(signer.PublicKey())})
	must(err)
	go ssh.DiscardRequests(requests)
	out, requests, err = conn.OpenChannel("direct-tcpip", nil)
	must(err)
	go ssh.DiscardRequests(requests)
	return out, c.(*net.TCPConn), server, <-accepted
}

// fate sends 5 bytes, ends in the given way, and says how it looks to the reader.
func fate(end func(ssh.Channel, *net.TCPConn)) string {
	out, tcp, server, in := pair()
	_, err := out.Write([]byte("12345"))
	must(err)
	five := make([]byte, 5)
	_, err = io.ReadFull(in, five)
	must(err)
	end(out, tcp)
	n, err := in.Read(make([]byte, 5))
	_, _, asked := server.SendRequest("keepalive@example.com", true, nil)
	return fmt.Sprintf("%q, then %d bytes and EOF=%v; a request afterwards fails=%v", five, n, err == io.EOF, asked != nil)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	fmt.Println("CloseWrite:      ", fate(func(out ssh.Channel, _ *net.TCPConn) { must(out.CloseWrite()) }))
	fmt.Println("connection reset:", fate(func(_ ssh.Channel, tcp *net.TCPConn) {
		must(tcp.SetLinger(0))
		must(tcp.Close())
	}))
}
GO
{
	go mod init example.com/finding
	go get golang.org/x/crypto@v0.59.0
} >install.log 2>&1 || { cat install.log; exit 1; }
go run . | tee seen
# Seen on 2026-11-30 with Go 1.26:
diff - seen <<'SEEN' && echo "as described"
CloseWrite:       "12345", then 0 bytes and EOF=true; a request afterwards fails=false
connection reset: "12345", then 0 bytes and EOF=true; a request afterwards fails=true
SEEN
