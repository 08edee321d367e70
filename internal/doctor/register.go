package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// registerTimeout bounds a registration; the root package has the same bound.
const registerTimeout = 20 * time.Second

// open opens a tunnel of the doctor's own, without a lease. The relay refuses a port that is
// served, or kept for somebody else.
func (f *Forwarder) open(ctx context.Context, protocol string, port int) (*tunnel, error) {
	l, err := f.Listen(ctx, Ask{Addr: f.addr, Protocol: protocol, Port: port})
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(f.addr)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	_, number, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return newTunnel(l, net.JoinHostPort(host, number), f.Wait), nil
}

const (
	// noticeTime is how long a relay may take to notice that a tunnel was closed.
	noticeTime = 5 * time.Second
	// poolKept is how long a relay keeps a pool without connections, and a moment.
	poolKept = 65 * time.Second
)

// openAgain is open after a tunnel was closed. Until the relay has noticed that, the limit of
// tunnels of the token may stand in the way, or the number of ports: it tries for that long.
func (f *Forwarder) openAgain(ctx context.Context, protocol string, long time.Duration) (*tunnel, error) {
	const pause = 500 * time.Millisecond
	f.Close()
	again := time.NewTicker(pause)
	defer again.Stop()
	for tries := int(long/pause) + 1; ; tries-- {
		t, err := f.open(ctx, protocol, 0)
		if !isFull(err) || tries == 0 {
			return t, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// isFull reports whether a registration was refused because there are as many as may be.
func isFull(err error) bool {
	var refusal *wire.Refusal
	return errors.As(err, &refusal) && (refusal.Code == wire.CodeLimit || refusal.Code == wire.CodeNoPort)
}

// token registers, and reports what that says of the token.
func (f *Forwarder) token(ctx context.Context) Finding {
	if !f.is.relay {
		return skipped(unanswered)
	}
	f.tunnel, f.opened = f.open(ctx, f.Protocols[0], f.PublicPort)
	if f.PublicPort != 0 && f.isTaken() {
		f.asked = f.opened
		f.tunnel, f.opened = f.open(ctx, f.Protocols[0], 0)
	}
	refusal := f.refusal()
	if f.opened != nil && refusal == nil {
		return skipped("the relay has not answered about it: see port")
	}
	if refusal == nil || refusal.Code != wire.CodeUnauthorized && refusal.Code != wire.CodeExpired {
		if f.Token {
			return ok("the relay accepts it, or asks nobody for one")
		}
		return ok("none is shown, and none is asked for")
	}
	text := Plain(refusal.Text)
	switch {
	case refusal.Code == wire.CodeExpired:
		return problem("have a new one made, at the relay:   relay token new --name=<name>", "it has expired: %s (%s)", text, Plain(refusal.Code))
	case !f.Token:
		return problem("give it with --tokenFile or RELAY_TOKEN; one is made at the relay:   relay token new --name=<name>",
			"none is shown, and the relay asks for one: %s (%s)", text, Plain(refusal.Code))
	}
	return problem("compare it with the relay's tokens file, which has its hash; a new one is made there:   relay token new --name=<name>",
		"the relay does not know it: %s (%s)", text, Plain(refusal.Code))
}

func (f *Forwarder) refusal() *wire.Refusal {
	var refusal *wire.Refusal
	errors.As(f.opened, &refusal) // or it stays nil
	return refusal
}

// isTaken reports whether the port that was asked for cannot be had, while another one
// perhaps can.
func (f *Forwarder) isTaken() bool {
	r := f.refusal()
	if r == nil {
		return false
	}
	return r.Code == wire.CodePortTaken || r.Code == wire.CodeInUse || r.Code == wire.CodeForbidden
}

// port reports what the relay has granted.
func (f *Forwarder) port(context.Context) Finding {
	if !f.is.relay {
		return skipped(unanswered)
	}
	if f.opened != nil {
		return f.noPort()
	}
	got := fmt.Sprintf("got %s, which is given back at the end", f.tunnel.public)
	var refusal *wire.Refusal
	if !errors.As(f.asked, &refusal) {
		return ok("%s", got)
	}
	text := Plain(refusal.Text)
	if refusal.Code == wire.CodeForbidden {
		return problem("leave --port out, or ask for one of those", "--port=%d: %s (%s); without it %s", f.PublicPort, text, Plain(refusal.Code), got)
	}
	return warning("if your own forwarder serves it or was just stopped, that is as it should be; otherwise choose another port, or leave --port out",
		"--port=%d: %s (%s); without it %s", f.PublicPort, text, Plain(refusal.Code), got)
}

// noPort explains a registration that has failed.
func (f *Forwarder) noPort() Finding {
	refusal := f.refusal()
	if refusal == nil {
		return problem(adviceForRegistration(f.opened), "%s", Plain(f.opened.Error()))
	}
	advice := map[string]string{
		wire.CodeNoPort: "every port that you may have is taken: stop a forwarder, or have the operator widen --ports, or ports= of the token; " +
			"at the relay's machine:   relay doctor",
		wire.CodeLimit: "as many tunnels are open as you may have: if your forwarder runs, it has one of them, and that is as it should be; " +
			"stop it to have the rest of this looked at",
		wire.CodeInUse:    "another forwarder with the same token serves it: if that is yours, all is well; stop it to have the rest of this looked at",
		wire.CodeDraining: "the relay is shutting down: try again in a minute",
		wire.CodeShutOut:  "wait that long, and then show a token that the relay knows",
	}[refusal.Code]
	found := fmt.Sprintf("refused: %s (%s)", Plain(refusal.Text), Plain(refusal.Code))
	switch refusal.Code {
	case wire.CodeUnauthorized, wire.CodeExpired:
		return skipped("there is none without a token: see above")
	case wire.CodeLimit, wire.CodeInUse:
		return warning(advice, "%s", found)
	}
	if advice == "" {
		advice = "docs/protocol.md has what the code means"
	}
	return problem(advice, "%s", found)
}

func adviceForRegistration(err error) string {
	switch {
	case isTimeout(err):
		return "the relay takes connections and does not answer: see its log, and whether its process runs"
	case sockerr.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF), isEnd(err):
		return "the relay has ended the connection: its log says why, as handshake_failed or request_refused"
	}
	return "see the relay's log"
}

// publicPort connects to the public port as a user does.
func (f *Forwarder) publicPort(ctx context.Context) Finding {
	if f.tunnel == nil {
		return skipped("there is no port: see above")
	}
	_, number, _ := net.SplitHostPort(f.tunnel.public) // which open has joined
	v, err := f.tunnel.visit(ctx, modePing)
	if err != nil {
		f.unusable = true
		return problem(adviceForUser(err, number), "a user from here to %s: %s", f.tunnel.public, whyNot(err))
	}
	defer v.close()
	if err := v.ping(ctx); err != nil {
		f.unusable = true
		return problem(adviceForUser(err, number), "a user from here to %s: %s", f.tunnel.public, whyNot(err))
	}
	return ok("a user from here gets to this forwarder in %s, and comes from %s", Millis(v.firstByte), v.seenFrom())
}

func adviceForUser(err error, port string) string {
	switch {
	case sockerr.Is(err, syscall.ECONNREFUSED):
		return "the control port can be reached and the public one not: a firewall rejects it, or a load balancer forwards only the control port. " +
			"Open the relay's --ports to everybody"
	case errors.Is(err, errOther):
		return "another server answers at the public port: the relay's machine, or a load balancer, sends users elsewhere"
	case isTimeout(err):
		return "open port " + port + ", and all others of the relay's --ports, in the firewall of the relay's machine and of its provider"
	}
	return "a middlebox between here and the relay ends such connections, or the relay has met a limit: its log says so"
}
