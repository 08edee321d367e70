// Command libp2p is a relay client for the protocol "multiplex", with libp2p's
// go-yamux.
//
// Usage: libp2p <relay_host> <relay_port> <local_host> <local_port>
package main

import (
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"os"
	"strconv"

	"github.com/libp2p/go-yamux/v5"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: libp2p <relay_host> <relay_port> <local_host> <local_port>")
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
	config := yamux.DefaultConfig()
	config.MaxIncomingStreams = math.MaxUint32 // the relay limits the users
	session, err := yamux.Server(conn, config, nil)
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
	defer stream.Reset() // has no effect after a good end
	conn, err := net.Dial("tcp", local)
	if err != nil {
		log.Print(err)
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	server.SetLinger(0) // anything but a good end is a reset

	done := make(chan error, 2)
	go func() {
		_, err := io.Copy(server, stream)
		if err == nil && session.IsClosed() {
			err = io.ErrUnexpectedEOF // Read may return io.EOF at the end of the session
		}
		if err == nil {
			err = server.CloseWrite()
		}
		done <- err
	}()
	go func() {
		_, err := io.Copy(stream, server)
		if err == nil {
			err = stream.CloseWrite()
		}
		done <- err
	}()
	for range 2 {
		if err := <-done; err != nil {
			log.Print(err)
			return
		}
	}
	server.SetLinger(-1)
}
