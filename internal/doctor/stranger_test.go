package doctor_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/doctor"
)

// serve has each connection to a port of loopback served until the test ends.
func serve(t *testing.T, with func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			serving.Go(func() {
				with(c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return l.Addr().String()
}

// says sends a text, and waits for the end.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
	}
}

// What is no relay is named, whatever it is, and nothing of the rest is tried.
func TestNoRelay(t *testing.T) {
	web := &http.Server{Handler: http.NotFoundHandler()}
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = web.Serve(l)
	}()
	t.Cleanup(func() {
		_ = web.Close()
		<-served
	})
	for _, tt := range []struct{ what, addr, want string }{
		{"web", l.Addr().String(), "a web server answers, and no relay"},
		{"ssh", serve(t, says("SSH-2.0-OpenSSH_9.2\r\n")), `an SSH server answers, and no relay: it sent "SSH-2.0-OpenSSH_9.2\r\n"`},
		{"mail", serve(t, says("220 mail.example.com ESMTP\r\n")), "a mail or FTP server"},
		{"redis", serve(t, says("-ERR unknown command\r\n")), "a Redis server"},
		{"mysql", serve(t, says("J\x00\x00\x00\x0a8.0.36\x00")), "a MySQL or MariaDB server"},
		{"tls", serve(t, says("\x15\x03\x03\x00\x02\x02\x28")), "a TLS server"},
		{"echo", serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) }), "this is no relay"},
		{"closes", serve(t, func(net.Conn) {}), "connections without a word"},
		{"terminal", serve(t, says("\x1b]0;owned\a\x1b[2J"+strings.Repeat("x", 400)+"\n")), "this is no relay"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			r := look(t, tt.addr, looks{token: "not-to-be-sent-to-strangers"})
			r.want(t, "connect", doctor.OK)
			r.want(t, "relay", doctor.Problem, tt.want)
			r.skipped(t, "encryption", "token", "port", "public port", "large packets", "multiplex", "pool", "event", "protocol")
			r.arePrintable(t)
		})
	}
}

// A port that accepts and never says a word is no relay, either.
func TestSilent(t *testing.T) {
	t.Parallel()
	silent := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	r := look(t, silent, looks{change: func(f *doctor.Forwarder) { f.Wait = 3 * time.Second }})
	r.want(t, "relay", doctor.Problem, "accepts connections, and does not answer")
}

func TestNobodyListens(t *testing.T) {
	r := look(t, net.JoinHostPort(loopback, conntest.FreePort(t)), looks{})
	r.want(t, "name", doctor.OK, "needs no resolver")
	r.want(t, "connect", doctor.Problem, "connection refused", "nothing listens there")
	r.skipped(t, "relay", "encryption", "token", "port")
}

// arePrintable checks that nothing in the results does anything to a terminal, and that they
// are short.
func (r results) arePrintable(t *testing.T) {
	t.Helper()
	for check, result := range r {
		text := result.Found + result.Advice
		if strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("%s: %q cannot be printed", check, text)
		}
		if len(text) > 1000 {
			t.Errorf("%s: %d bytes are too long: %q", check, len(text), text)
		}
	}
}
