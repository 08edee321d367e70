package relay_test

import (
	"fmt"
	"io"
	"net"
	"os"
)

// echoServer in the environment makes the test binary a server that sends back what it
// gets. In a process of its own it does not count in the figures of cost_linux_test.go.
const echoServer = "RELAY_TEST_ECHO_SERVER"

func serveEcho() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
		os.Exit(0)
	}()
	for {
		conn, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() { _, _ = io.Copy(conn, struct{ io.Reader }{conn}) }()
	}
}
