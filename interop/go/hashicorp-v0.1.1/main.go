// Command hashicorp-v0.1.1 is a relay client for the protocol "multiplex", with
// HashiCorp's yamux v0.1.1.
//
// In this version a stream cannot be reset, and Close ends it for reading too: a user
// may end first and still get the answer, but once the local server has ended, nothing
// from the user reaches it any more.
//
// Usage: hashicorp-v0.1.1 <relay_host> <relay_port> <local_host> <local_port>
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/hashicorp/yamux"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: hashicorp-v0.1.1 <relay_host> <relay_port> <local_host> <local_port>")
	}
	relay := net.JoinHostPort(os.Args[1], os.Args[2])
	local := net.JoinHostPort(os.Args[3], os.Args[4])
	log.Fatal(run(relay, local))
}

func run(relay, local string) error {
	conn, err := net.Dial("tcp", relay)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "multiplex\n"); err != nil {
		return err
	}
	line, err := readLine(conn)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(line, 10, 16)
	if err != nil {
		return fmt.Errorf("refused: %s", line)
	}
	session, err := yamux.Server(conn, nil)
	if err != nil {
		return err
	}
	fmt.Println(port)
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return err
		}
		go serve(session, stream, local)
	}
}

// readLine reads byte by byte: what follows the line belongs to yamux.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); b[0] != '\n'; line = append(line, b[0]) {
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
	}
	return string(line[:len(line)-1]), nil
}

func serve(session *yamux.Session, stream *yamux.Stream, local string) {
	defer stream.Close()
	conn, err := net.Dial("tcp", local)
	if err != nil {
		log.Print(err)
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	server.SetLinger(0) // anything but a good end is a reset

	var userEnded atomic.Bool
	go func() {
		_, err := io.Copy(server, stream)
		// Read returns io.EOF at the end of the session too.
		if err != nil || session.IsClosed() {
			server.Close() // wakes the other direction
			return
		}
		userEnded.Store(true)
		server.CloseWrite()
	}()
	if _, err := io.Copy(stream, server); err == nil && userEnded.Load() {
		server.SetLinger(-1)
	}
}
