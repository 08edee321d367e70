package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/wire"
)

// A relay of an earlier version does not know probes or control channels, and refuses the
// option. A relay client registers there without, at the second attempt.
func TestRelayKnowsNoProbes(t *testing.T) {
	for _, unknown := range []string{wire.OptionProbe, wire.OptionControl} {
		testUnknownOption(t, unknown)
	}
}

func testUnknownOption(t *testing.T, unknown string) {
	for _, protocol := range relay.Protocols() {
		t.Run(unknown+"/"+string(protocol), func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			offered := make(chan wire.Preamble, 10)
			stop := make(chan struct{})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				oldRelay(t, l, unknown, offered, stop)
			}()
			listener, err := relay.Listen(t.Context(), l.Addr().String(), &relay.Options{Protocol: protocol, PoolSize: 1})
			if err != nil {
				t.Fatal(err)
			}
			if first := <-offered; !first.Probe || first.Control != wire.ControlUp {
				t.Errorf("it offers at first: %+v", first)
			}
			if second := <-offered; second.Control != 0 || second.Probe != (unknown != wire.OptionProbe) {
				t.Errorf("it offers after that: %+v", second)
			}
			_ = listener.Close()
			close(stop)
			<-ended
		})
	}
}

// oldRelay answers two registrations as a relay does that does not know an option, and holds
// the second one until stop is closed.
func oldRelay(t *testing.T, l net.Listener, unknown string, offered chan<- wire.Preamble, stop <-chan struct{}) {
	for {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		req, err := wire.ReadRequest(wire.NewReader(conn), []wire.Verb{{Name: "multiplex"}, {Name: "pool", Claims: true}, {Name: "event", Claims: true}})
		if err != nil {
			t.Error(err)
			return
		}
		said, err := wire.ParsePreamble(req.Options)
		if err != nil {
			t.Error(err)
		}
		offered <- said
		if slices.ContainsFunc(req.Options, func(o wire.Option) bool { return o.Key == unknown }) {
			_, _ = io.WriteString(conn, "-unknown-option "+unknown+"\n")
			_ = conn.Close()
			continue
		}
		_, _ = io.WriteString(conn, "20001\n")
		if req.Verb.Name == "pool" {
			_, _ = io.WriteString(conn, "ID\n")
		}
		<-stop
		_ = conn.Close()
		return
	}
}

// The local server is asked once for probes that come within 4 seconds, and more often
// while it does not accept.
func TestProbesShareAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, refuses := 0, false
		p := relay.NewProber(func(context.Context) wire.ProbeAnswer {
			<-time.After(time.Second)
			if asked++; refuses {
				return wire.ProbeAnswer{Failure: wire.ProbeRefused}
			}
			return wire.ProbeAnswer{Took: time.Duration(asked)}
		})
		want := func(want wire.ProbeAnswer) {
			t.Helper()
			answers := make(chan wire.ProbeAnswer)
			for range 10 {
				go func() { answers <- p.Answer(t.Context()) }()
			}
			for range 10 {
				if got := <-answers; got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		}
		want(wire.ProbeAnswer{Took: 1})
		<-time.After(4*time.Second - 1)
		want(wire.ProbeAnswer{Took: 1})
		<-time.After(1)
		want(wire.ProbeAnswer{Took: 2})
		p.Forget()
		refuses = true
		want(wire.ProbeAnswer{Failure: wire.ProbeRefused})
		refuses = false
		<-time.After(500 * time.Millisecond)
		want(wire.ProbeAnswer{Took: 4})
	})
}

// An answer that nobody waited for is not given to others.
func TestProbeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := relay.NewProber(func(ctx context.Context) wire.ProbeAnswer {
			select {
			case <-time.After(time.Second):
				return wire.ProbeAnswer{Took: 1}
			case <-ctx.Done():
				return wire.ProbeAnswer{Failure: wire.ProbeOther}
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan wire.ProbeAnswer)
		go func() { first <- p.Answer(ctx) }()
		synctest.Wait()
		cancel()
		<-first
		if got := p.Answer(t.Context()); got != (wire.ProbeAnswer{Took: 1}) {
			t.Errorf("got %+v", got)
		}
	})
}

// The relay is told of an error in a word.
func TestProbeFailure(t *testing.T) {
	dial := func(err error) error {
		return fmt.Errorf("wrapped: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)})
	}
	for _, tt := range []struct {
		err  error
		want wire.ProbeFailure
	}{
		{dial(syscall.ECONNREFUSED), wire.ProbeRefused},
		{dial(syscall.EHOSTUNREACH), wire.ProbeNoRoute},
		{dial(syscall.ENETUNREACH), wire.ProbeNoRoute},
		{dial(syscall.EMFILE), wire.ProbeNoDescriptors},
		{dial(syscall.ETIMEDOUT), wire.ProbeTimedOut},
		{dial(os.ErrDeadlineExceeded), wire.ProbeTimedOut},
		{context.DeadlineExceeded, wire.ProbeTimedOut},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, wire.ProbeUnknownHost},
		{&net.DNSError{IsTimeout: true}, wire.ProbeUnknownHost},
		{errors.New("anything else"), wire.ProbeOther},
	} {
		if got := relay.ProbeFailure(tt.err); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}

// bound counts the functions that wait for the end of a context.
type bound struct {
	context.Context
	waiting atomic.Int64
}

// Value keeps package context from looking inside.
func (*bound) Value(any) any { return nil }

func (b *bound) AfterFunc(f func()) (stop func() bool) {
	b.waiting.Add(1)
	end := context.AfterFunc(b.Context, f)
	return func() bool {
		b.waiting.Add(-1)
		return end()
	}
}

// unwritable is a connection on which no answer can be written.
type unwritable struct{ conn.Conn }

func (unwritable) Write([]byte) (int, error) { return 0, syscall.ECONNRESET }

// A probe that the relay gives up leaves nothing behind: there may be many in the time of a
// registration.
func TestProbeIsForgotten(t *testing.T) {
	accept, wait := relay.NewHeaderReader(func(_ context.Context, c conn.Conn) {
		t.Error("a probe is taken for a user")
		_ = c.Reset()
	}, nil, slog.New(slog.DiscardHandler))
	registered := &bound{Context: t.Context()}
	near, far := conntest.Memory()
	accept(registered, unwritable{near})
	conntest.Write(t, far, string(proxyproto.ProbeHeader()))
	conntest.WantReset(t, far)
	wait()
	if n := registered.waiting.Load(); n != 0 {
		t.Errorf("%d functions wait for the end of the registration still", n)
	}
}
