package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// maxAnswer bounds what is read of an answer: a refusal has one line.
const maxAnswer = 512

// question is a registration that every relay refuses, whomever it lets in, and before it
// looks at anything else: no port is 0. An older relay refuses the option before that, which
// it does not know.
func question() []byte {
	var b bytes.Buffer
	_, _ = wire.Request{ // a buffer takes everything
		Options: []wire.Option{{Key: wire.OptionSessions, Value: "1"}, {Key: wire.OptionPort, Value: "0"}},
		Verb:    wire.Verb{Name: "event", Claims: true},
	}.WriteTo(&b)
	return b.Bytes()
}

// heard is what a peer has answered.
type heard struct {
	text string
	err  error // after the text: io.EOF for an end
}

// identify finds out what answers at the relay's port. It sends no secret.
func (f *Forwarder) identify(ctx context.Context) Finding {
	if f.addr == "" {
		return skipped("nothing answers there: see above")
	}
	inPlain := f.ask(ctx, false)
	if refusal := refusalIn(inPlain.text); refusal != nil {
		f.is.relay, f.is.plain = true, true
	}
	inTLS := f.ask(ctx, true) // also to know whether it could be encrypted
	if refusal := refusalIn(inTLS.text); refusal != nil {
		f.is.relay, f.is.tls = true, true
	}
	if !f.is.relay {
		return f.notRelay(ctx, inPlain, inTLS)
	}
	refusal := refusalIn(inPlain.text + inTLS.text)
	modes := "in plain text and in TLS"
	switch {
	case !f.is.tls:
		modes = "in plain text, without TLS"
	case !f.is.plain:
		modes = "in TLS alone"
	}
	switch refusal.Code {
	case wire.CodeBadOption:
		return ok("a relay with the protocol of this version answers, %s", modes)
	case wire.CodeUnknownOption:
		return warning("update the relay when you can; until then a multiplex forwarder has one connection to it",
			"an older relay answers, %s: it does not know the option %s", modes, quote(refusal.Text))
	case wire.CodeShutOut:
		return problem("wait that long; meanwhile see the relay's log for what has come from this address: wrong tokens, mostly",
			"a relay answers, %s, and has shut this address out: %s", modes, Plain(refusal.Text))
	}
	return ok("a relay answers, %s: %s (%s)", modes, Plain(refusal.Text), Plain(refusal.Code))
}

// Identify finds out what answers at a port, and reports whether that is a relay.
func Identify(ctx context.Context, host string, port int) (found Finding, relay bool) {
	f := &Forwarder{Host: host, Port: port, Wait: usualWait, addr: net.JoinHostPort(host, strconv.Itoa(port))}
	found = f.identify(ctx)
	return found, f.is.relay
}

// ask asks what only a relay answers, in plain text or in TLS. In TLS nothing is verified:
// what is asked is no secret, and what is answered is not believed.
func (f *Forwarder) ask(ctx context.Context, encrypted bool) heard {
	conn, err := f.dial(ctx, encrypted)
	if err != nil {
		return heard{"", err}
	}
	defer func() { _ = conn.Close() }()
	return f.converse(ctx, conn, question())
}

// dial connects to where the relay has answered.
func (f *Forwarder) dial(ctx context.Context, encrypted bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Wait)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", f.addr)
	if err != nil || !encrypted {
		return conn, err
	}
	secured := tls.Client(conn, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // this only finds out what is there; encryption verifies it
		ServerName:         f.Host,
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	if f.is.chain == nil {
		f.is.chain = secured.ConnectionState().PeerCertificates
	}
	return secured, nil
}

// converse says something, and hears the first line of the answer.
func (f *Forwarder) converse(ctx context.Context, conn net.Conn, what []byte) heard {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(f.Wait)); err != nil {
		return heard{"", err}
	}
	if _, err := conn.Write(what); err != nil {
		return heard{"", err}
	}
	var got []byte
	b := make([]byte, maxAnswer)
	for len(got) < maxAnswer && !bytes.ContainsRune(got, '\n') && serverOf(string(got)) == "" {
		n, err := conn.Read(b[:maxAnswer-len(got)])
		got = append(got, b[:n]...)
		if err != nil {
			return heard{string(got), err}
		}
	}
	return heard{string(got), nil}
}

// refusalIn returns a relay's refusal, or nil if the text is none.
func refusalIn(text string) *wire.Refusal {
	var refusal *wire.Refusal
	_, err := wire.ReadAnswer(strings.NewReader(text))
	if errors.As(err, &refusal) {
		return refusal
	}
	return nil
}

// notRelay names what answers in place of a relay.
func (f *Forwarder) notRelay(ctx context.Context, inPlain, inTLS heard) Finding {
	const wrong = "check the relay's host and port: this is another server's"
	if name := serverOf(inPlain.text); name != "" {
		return problem(wrong, "%s answers, and no relay: it sent %s", name, quote(inPlain.text))
	}
	speaksTLS := inTLS.err == nil || f.is.chain != nil
	if speaksTLS {
		if text := f.asBrowser(ctx, true); serverOf(text) != "" {
			return problem(wrong, "%s in TLS answers, and no relay: it sent %s", serverOf(text), quote(text))
		}
		return problem(wrong+"; a load balancer that speaks TLS in front of a relay has to pass TCP on as it is",
			"a server answers that speaks TLS, and is no relay")
	}
	if text := f.asBrowser(ctx, false); serverOf(text) != "" {
		return problem(wrong, "%s answers, and no relay: it sent %s", serverOf(text), quote(text))
	}
	switch {
	case inPlain.text != "":
		return problem(wrong, "this is no relay: it sent %s", quote(inPlain.text))
	case isTimeout(inPlain.err):
		return problem("the program there accepts and says nothing: a relay answers at once. Check the port; if it is the relay's, "+
			"its process is stopped, or a proxy in front of it waits for something", "it accepts connections, and does not answer")
	}
	return problem("check the port; if a relay of this network takes connections from a load balancer alone (--controlProxies), "+
		"connect through that; an old relay closes as well", "the server there %s without a word", closes(inPlain.err))
}

func closes(err error) string {
	if sockerr.Is(err, syscall.ECONNRESET, syscall.EPIPE) {
		return "resets connections"
	}
	return "closes connections"
}

// asBrowser returns the answer to a request of HTTP.
func (f *Forwarder) asBrowser(ctx context.Context, encrypted bool) string {
	conn, err := f.dial(ctx, encrypted)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	return f.converse(ctx, conn, []byte(fmt.Sprintf("HEAD / HTTP/1.0\r\nHost: %s\r\n\r\n", f.Host))).text
}

// serverOf returns what kind of server has sent a text, or "".
func serverOf(text string) string {
	for _, s := range []struct {
		name   string
		begins []string
	}{
		{"an SSH server", []string{"SSH-"}},
		{"a web server", []string{"HTTP/", "<!DOCTYPE", "<html", "<HTML"}},
		{"a TLS server", []string{"\x15\x03"}},
		{"a mail or FTP server", []string{"220 ", "220-", "+OK ", "* OK "}},
		{"a Redis server", []string{"-ERR ", "-NOAUTH ", "-DENIED "}},
		{"a VNC server", []string{"RFB "}},
	} {
		if slices.ContainsFunc(s.begins, func(begin string) bool { return strings.HasPrefix(text, begin) }) {
			return s.name
		}
	}
	const mysqlVersion, mysqlMin = 4, 10 // protocol 10, behind the length of a packet
	if len(text) >= mysqlMin && text[mysqlVersion] == 10 && text[3] == 0 {
		return "a MySQL or MariaDB server"
	}
	return ""
}

// isEnd reports whether a connection has ended in order.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }
