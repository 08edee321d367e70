#!/usr/bin/env bash
# hashicorp/yamux v0.1.2: Close is a half-close, but Config.StreamCloseTimeout
# later the reader of that stream gets a clean end in the middle of the data.
#
# Behavior: a program says all it has to say, calls Close, and reads the answer,
# as one does with TCP and CloseWrite. The answer goes on arriving, a byte each
# 100 ms, and the peer has not ended. When StreamCloseTimeout is over (5 minutes
# unless it is set; here 2 s) Read gives io.EOF. Data does not put it off. The
# answer is cut, and looks complete.
#
# What to do: set StreamCloseTimeout above the longest answer there may be, and
# have the length or an end mark in the payload; nothing in the library's API
# tells this EOF from the peer's. libp2p/go-yamux has CloseWrite and no such limit.
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
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	config.StreamCloseTimeout = 2 * time.Second
	go answerSlowly(l)

	c, err := net.Dial("tcp", l.Addr().String())
	must(err)
	session, err := yamux.Client(c, config)
	must(err)
	asking, err := session.OpenStream()
	must(err)
	_, err = asking.Write([]byte("?"))
	must(err)
	must(asking.Close())
	answer, err := io.ReadAll(asking)
	fmt.Printf("read whole answer=%v, clean end=%v, session alive=%v\n",
		len(answer) == answerSize, err == nil, !session.IsClosed())
}

// answerSize bytes, one each 100 ms, take three times as long as the timeout.
const answerSize = 60

func answerSlowly(l net.Listener) {
	c, err := l.Accept()
	must(err)
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	session, err := yamux.Server(c, config)
	must(err)
	asked, err := session.AcceptStream()
	must(err)
	_, err = io.ReadAll(asked)
	must(err)
	for range answerSize {
		if _, err := asked.Write([]byte("!")); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = asked.Close()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
{
	go mod init example.com/finding
	go get github.com/hashicorp/yamux@v0.1.2
} >install.log 2>&1 || { cat install.log; exit 1; }
go run . | tee seen
# Seen on 2026-11-30 with Go 1.26:
diff - seen <<'SEEN' && echo "as described"
read whole answer=false, clean end=true, session alive=true
SEEN
