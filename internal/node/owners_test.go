package node_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// tokensSoon is by when a change of the tokens file is felt, on a busy machine too.
const tokensSoon = 20 * time.Second

// owned is a relay with a tokens file and leases that outlive it.
type owned struct {
	*testing.T
	dir    string
	ports  port.Range
	addr   string
	tokens *auth.File
	log    *log
	stop   func()
}

func startOwned(t *testing.T, tokens string) *owned {
	t.Helper()
	first := conntest.FreePorts(t, 2)
	o := &owned{T: t, log: new(log), dir: t.TempDir(), ports: port.Range{First: first, Last: first + 1}}
	o.write(tokens)
	o.start()
	t.Cleanup(func() { o.stop() })
	return o
}

func (o *owned) file() string { return filepath.Join(o.dir, "tokens") }

func (o *owned) write(tokens string) {
	o.Helper()
	if err := os.WriteFile(o.file(), []byte(tokens), 0o600); err != nil {
		o.Fatal(err)
	}
}

func (o *owned) start() {
	o.Helper()
	tokens, err := auth.Open(o.file(), slog.New(slog.DiscardHandler))
	if err != nil {
		o.Fatal(err)
	}
	leases, err := lease.Open(filepath.Join(o.dir, "leases"))
	if err != nil {
		o.Fatal(err)
	}
	s, err := node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: o.ports, Tokens: tokens, Leases: leases, Logger: slog.New(slog.NewTextHandler(o.log, nil)),
	})
	if err != nil {
		o.Fatal(err)
	}
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		o.Fatal(err)
	}
	go func() { _ = s.Serve(l) }() // its error says only that it was closed
	o.tokens, o.addr = tokens, l.Addr().String()
	o.stop = func() { s.Close(); tokens.Close(); _ = leases.Close() }
}

// change has other tokens in force.
func (o *owned) change(tokens string) {
	o.Helper()
	o.write(tokens)
	if err := o.tokens.Reload(); err != nil {
		o.Fatal(err)
	}
}

// register gives the answer, without its options, and the connection.
func (o *owned) register(lines string) (answer string, conn net.Conn) {
	o.Helper()
	conn, err := net.Dial("tcp", o.addr)
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() { _ = conn.Close() })
	fmt.Fprint(conn, lines)
	for from := bufio.NewReader(conn); ; {
		line, err := from.ReadString('\n')
		if err != nil {
			o.Fatalf("the answer is %q, %v", line, err)
		}
		if line[0] != '+' {
			return strings.TrimSpace(line), conn
		}
	}
}

func (o *owned) isOpen(port int) bool {
	o.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return false
	case errors.Is(err, syscall.ECONNRESET):
		return true // it is about to close
	case err != nil:
		o.Fatal(err)
	}
	_ = conn.Close()
	return true
}

func (o *owned) wantClosed(port int) {
	o.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for since := time.Now(); o.isOpen(port); <-again.C {
		if time.Since(since) > tokensSoon {
			o.Fatalf("port %d stays open", port)
		}
	}
}

// leave registers somebody's lease on the first port, and ends the connection.
func (o *owned) leave(token string) {
	o.Helper()
	answer, conn := o.register("+token " + token + "\n+lease kkkkkkkkkkkkkkkkkkkkkkkkkk\nmultiplex\n")
	if answer != strconv.Itoa(o.ports.First) {
		o.Fatalf("the answer is %q", answer)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, conn) // until the relay has seen that
}

// wantPort expects that a relay client with the token can have a port once it is free,
// which is a moment after it is closed.
func (o *owned) wantPort(token string, port int) {
	o.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for since := time.Now(); ; <-again.C {
		answer, _ := o.register(fmt.Sprintf("+token %s\n+port %d\nmultiplex\n", token, port))
		if answer == strconv.Itoa(port) {
			return
		}
		if time.Since(since) > tokensSoon {
			o.Fatalf("the client that may have the port now is told %q", answer)
		}
	}
}

func token(name, more string) string {
	return strings.TrimSpace(name+" "+auth.Hash(name)+" "+more) + "\n"
}

// An owner who is away loses its port when the tokens file says so: at once, after other
// changes, and at the next start of the relay. The log has the reason.
func TestOwnerIsGone(t *testing.T) {
	const b = "ports=1-65535"
	for name, gone := range map[string]string{
		"token_revoked": token("b", b), "token_expired": token("a", "expires=2001-01-01") + token("b", b),
		"port_forbidden": token("a", "ports=9") + token("b", b),
	} {
		t.Run(name, func(t *testing.T) {
			o := startOwned(t, "")
			mine := "ports=" + strconv.Itoa(o.ports.First)
			o.change(token("a", mine))
			o.leave("a")
			o.change(token("a", mine+" users=5") + token("b", b))
			o.change(gone)
			o.wantClosed(o.ports.First)
			o.wantPort("b", o.ports.First)
			if want := fmt.Sprintf("event=lease_ended port=%d identity=a reason=%s awayFor=", o.ports.First, name); !o.log.has(want) {
				t.Errorf("the log has not %q:\n%s", want, o.log.text.String())
			}
		})
		t.Run(name+" before the relay starts", func(t *testing.T) {
			o := startOwned(t, "")
			mine := "ports=" + strconv.Itoa(o.ports.First)
			o.change(token("a", mine))
			o.leave("a")
			o.stop()
			o.start()
			if !o.isOpen(o.ports.First) {
				t.Fatal("its port is not kept")
			}
			o.stop()
			o.write(gone)
			o.start()
			if o.isOpen(o.ports.First) {
				t.Error("its port is open")
			}
			if want := "reason=" + name + " error="; !o.log.has(want) {
				t.Errorf("the log has not %q:\n%s", want, o.log.text.String())
			}
		})
	}
}

// A port belongs to a name. Another secret behind the name ends the
// session, served or not, and the new secret has the port; only without the name is it
// given up.
func TestNewSecret(t *testing.T) {
	const key = "+lease kkkkkkkkkkkkkkkkkkkkkkkkkk\n"
	for _, verb := range []string{"multiplex\n", "pool\nnew\n", "event\nnew\n"} {
		for _, served := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, served %t", strings.Fields(verb)[0], served), func(t *testing.T) {
				o := startOwned(t, token("a", ""))
				port, conn := o.register("+token a\n" + key + verb)
				if !served {
					_ = conn.(*net.TCPConn).CloseWrite()
					_, _ = io.Copy(io.Discard, conn) // until the relay has seen that
				}
				other := "a " + auth.Hash("other") + "\n"
				o.change(other)
				_, _ = io.Copy(io.Discard, conn)
				if answer, _ := o.register("+token a\n" + key + verb); !strings.HasPrefix(answer, "-unauthorized ") {
					t.Errorf("the old secret is answered by %q", answer)
				}
				if is, _ := o.register("+token other\n" + key + verb); is != port {
					t.Errorf("the new secret has port %s, want %s", is, port)
				}
				o.change("")
				number, _ := strconv.Atoi(port)
				o.wantClosed(number)
			})
		}
	}
}
