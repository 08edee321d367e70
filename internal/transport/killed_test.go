package transport_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// said is what a process writes to its connection before it is killed.
const said = "half an answer"

// playRole is the process that is killed: it makes one connection, writes something to
// it, reports that it has, and waits.
func playRole(role string) {
	how, addr, _ := strings.Cut(role, " ")
	conn, err := func() (conn.Conn, error) {
		switch how {
		case "DialRelay":
			return transport.DialRelay(background, addr)
		case "DialRelayTLS":
			return transport.DialRelayTLS(background, addr, &tls.Config{InsecureSkipVerify: true})
		case "DialLocal":
			return transport.DialLocal(background, addr)
		case "ListenUsers":
			return acceptOne(transport.ListenUsers("127.0.0.1:0"))
		default:
			return acceptOne(transport.ListenRelayClients("127.0.0.1:0"))
		}
	}()
	if err == nil {
		_, err = io.WriteString(conn, said)
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("said")
	_, _ = io.Copy(io.Discard, os.Stdin) // ends if the test does
}

func acceptOne(l *transport.Listener, err error) (conn.Conn, error) {
	if err != nil {
		return nil, err
	}
	fmt.Println(l.Addr())
	return l.Accept()
}

// A process that is killed has not ended its connections. Their peers get what it wrote,
// and then a reset: an end, which the kernel sends by default, would pass half an answer
// off as a whole one.
func TestKilledProcessResets(t *testing.T) {
	for _, how := range []string{"DialRelay", "DialRelayTLS", "DialLocal", "ListenUsers", "ListenRelayClients"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), roleVariable+"="+how+" "+l.Addr().String())
			stdin, err := child.StdinPipe() // open until the test ends
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			stdout, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			conn := peerOf(t, how, l, lines)
			defer conn.Close()
			if !lines.Scan() || lines.Text() != "said" {
				t.Errorf("the process says %q", lines.Text())
			}
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = child.Wait() // killed
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(conn); string(got) != said || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %q, %v (nil is EOF); want %q and a reset", got, err, said)
			}
		})
	}
}

// peerOf is the test's end of the connection that the process makes.
func peerOf(t *testing.T, how string, l net.Listener, lines *bufio.Scanner) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	if strings.HasPrefix(how, "Dial") {
		conn, err = l.Accept()
	} else if lines.Scan() {
		conn, err = net.Dial("tcp", lines.Text())
	}
	if err != nil || conn == nil {
		t.Fatalf("no connection with the process: %v", err)
	}
	if how != "DialRelayTLS" {
		return conn
	}
	config, _ := configs(t)
	safe, err := transport.RequireTLS(transport.NewConn(conn.(*net.TCPConn)), config)
	if err != nil {
		t.Fatal(err)
	}
	return safe
}
