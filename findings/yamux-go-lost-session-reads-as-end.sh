#!/usr/bin/env bash
# hashicorp/yamux v0.1.2: a stream whose session has lost its connection reads
# as a clean end.
#
# Behavior: the peer sends 5 bytes on a stream and then its TCP connection is
# reset. The stream was not closed by anybody. hashicorp/yamux gives its reader
# the 5 bytes and io.EOF, just as after an orderly Close of the stream;
# libp2p/go-yamux v5.1.0 gives the 5 bytes and an error.
#
# What to do: after io.EOF ask the session before you take the data for
# complete. Session.Accept (or CloseChan and IsClosed) of the same session knows
# of the loss, but perhaps a moment later than the stream, so that a Ping which
# is answered after the io.EOF is the safe question.
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
	"context"
	"fmt"
	"io"
	"log"
	"net"

	hashicorp "github.com/hashicorp/yamux"
	libp2p "github.com/libp2p/go-yamux/v5"
)

// connections gives both ends of a TCP connection over loopback.
func connections() (client, server *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	must(err)
	s, err := l.Accept()
	must(err)
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// fate says how a read of everything ended, after the sender has sent "12345" and
// ended in the given way.
func fate(r io.Reader, end func()) string {
	five := make([]byte, 5)
	_, err := io.ReadFull(r, five)
	must(err)
	end()
	n, err := r.Read(five)
	return fmt.Sprintf("%q, then %d bytes and EOF=%v", five, n, err == io.EOF)
}

func withHashicorp(end func(net.Conn, *hashicorp.Stream)) string {
	c, s := connections()
	config := hashicorp.DefaultConfig()
	config.LogOutput = io.Discard
	sender, err := hashicorp.Client(c, config)
	must(err)
	receiver, err := hashicorp.Server(s, config)
	must(err)
	out, err := sender.OpenStream()
	must(err)
	_, err = out.Write([]byte("12345"))
	must(err)
	in, err := receiver.AcceptStream()
	must(err)
	return fate(in, func() { end(c, out) })
}

func withLibp2p() string {
	c, s := connections()
	config := libp2p.DefaultConfig()
	config.LogOutput = io.Discard
	sender, err := libp2p.Client(c, config, nil)
	must(err)
	receiver, err := libp2p.Server(s, config, nil)
	must(err)
	out, err := sender.OpenStream(context.Background())
	must(err)
	_, err = out.Write([]byte("12345"))
	must(err)
	in, err := receiver.AcceptStream()
	must(err)
	return fate(in, func() { reset(c) })
}

func reset(c net.Conn) {
	must(c.(*net.TCPConn).SetLinger(0))
	must(c.Close())
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	fmt.Println("hashicorp, stream closed:   ", withHashicorp(func(_ net.Conn, out *hashicorp.Stream) { must(out.Close()) }))
	fmt.Println("hashicorp, connection reset:", withHashicorp(func(c net.Conn, _ *hashicorp.Stream) { reset(c) }))
	fmt.Println("libp2p, connection reset:   ", withLibp2p())
}
GO
{
	go mod init example.com/finding
	go get github.com/hashicorp/yamux@v0.1.2 github.com/libp2p/go-yamux/v5@v5.1.0
} >install.log 2>&1 || { cat install.log; exit 1; }
go run . | tee seen
# Seen on 2026-11-30 with Go 1.26:
diff - seen <<'SEEN' && echo "as described"
hashicorp, stream closed:    "12345", then 0 bytes and EOF=true
hashicorp, connection reset: "12345", then 0 bytes and EOF=true
libp2p, connection reset:    "12345", then 0 bytes and EOF=false
SEEN
