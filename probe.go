package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// answer answers a probe, which is no user. It has a slot, and gives that up.
func (p *pendingConn) answer() {
	defer p.releaseOnPanic()
	_ = p.conn.SetDeadline(time.Now().Add(headerTimeout)) // fails as the write does
	answer := p.next.answerProbe(p.registered)
	_, err := answer.WriteTo(p.conn)
	if bound := p.unbind(); err == nil && bound {
		_ = p.conn.Close()
	} else {
		_ = p.conn.Reset() // unless end has done so
	}
	p.release()
}

const (
	// probeDialTimeout is how long the local server may take to accept a probe. The relay
	// waits 4 s for the answer.
	probeDialTimeout = 2500 * time.Millisecond
	// probeReuse is for how long it is known that the local server accepts: no relay has
	// it see probes more often. After a failure the answer is known for a shorter time,
	// since a server that does not accept sees nothing of it.
	probeReuse       = 4 * time.Second
	probeReuseFailed = 500 * time.Millisecond
)

// prober finds out whether the local server accepts connections, once at a time. The zero
// value is ready.
type prober struct {
	mu     sync.Mutex // guards what follows
	last   wire.ProbeAnswer
	at     time.Time     // when last was found, or zero
	asking chan struct{} // closed when somebody has found out; nil if nobody tries
}

// answer returns what dial finds, or what is known. It waits until ctx is done.
func (p *prober) answer(ctx context.Context, dial func(context.Context) wire.ProbeAnswer) wire.ProbeAnswer {
	for {
		p.mu.Lock()
		if last, known := p.knownLocked(); known {
			p.mu.Unlock()
			return last
		}
		asking := p.asking
		if asking == nil {
			p.asking = make(chan struct{})
			p.mu.Unlock()
			return p.ask(ctx, dial)
		}
		p.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
			return wire.ProbeAnswer{Failure: wire.ProbeOther}
		}
	}
}

func (p *prober) knownLocked() (wire.ProbeAnswer, bool) {
	reuse := probeReuse
	if p.last.Failure != "" {
		reuse = probeReuseFailed
	}
	return p.last, !p.at.IsZero() && time.Since(p.at) < reuse
}

// ask finds out.
func (p *prober) ask(ctx context.Context, dial func(context.Context) wire.ProbeAnswer) wire.ProbeAnswer {
	found, at := wire.ProbeAnswer{}, time.Time{} // after a panic, nothing
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.last, p.at = found, at
		close(p.asking)
		p.asking = nil
	}()
	answer := dial(ctx)
	if ctx.Err() == nil { // or it says nothing
		found, at = answer, time.Now()
	}
	return answer
}

// forget has the next probe ask anew: a user was not accepted.
func (p *prober) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = time.Time{}
}

// answerProbe connects to the local server, unless the options forbid that, no user would get
// there, or health checks say how it does.
func (b *backend) answerProbe(ctx context.Context) wire.ProbeAnswer {
	switch {
	case b.paused.Load() != nil:
		return wire.ProbeAnswer{Failure: wire.ProbePaused}
	case b.checker != nil:
		return wire.ProbeAnswer{Failure: b.serving.get()}
	case !b.probeLocal:
		return wire.ProbeAnswer{}
	}
	return b.prober.answer(ctx, b.probe)
}

// probe connects to the local server, and closes the connection.
func (b *backend) probe(ctx context.Context) wire.ProbeAnswer {
	ctx, cancel := context.WithTimeout(ctx, probeDialTimeout)
	defer cancel()
	began := time.Now()
	local, wait := b.local.addr.Start(b.prepareLocal)
	var err error
	if local == nil {
		local, err = wait(ctx)
	}
	took := max(time.Since(began), time.Microsecond)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("it has not accepted within %v: %w", probeDialTimeout, err)
	}
	if !errors.Is(ctx.Err(), context.Canceled) { // with the registration
		b.tried(took, err)
	}
	if err != nil {
		return wire.ProbeAnswer{Failure: probeFailure(err)}
	}
	_ = local.Close()
	return wire.ProbeAnswer{Took: took}
}

// probeFailure returns what the relay is told of an error: nothing that it could not know.
func probeFailure(err error) wire.ProbeFailure {
	var timeout net.Error
	switch {
	case sockerr.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist): // of a Unix socket
		return wire.ProbeRefused
	case errors.As(err, new(*net.DNSError)):
		return wire.ProbeUnknownHost
	case sockerr.Is(err, syscall.EHOSTUNREACH), sockerr.Is(err, syscall.ENETUNREACH):
		return wire.ProbeNoRoute
	case sockerr.Is(err, syscall.EMFILE), sockerr.Is(err, syscall.ENFILE):
		return wire.ProbeNoDescriptors
	case errors.Is(err, context.DeadlineExceeded), sockerr.Is(err, syscall.ETIMEDOUT), errors.As(err, &timeout) && timeout.Timeout():
		return wire.ProbeTimedOut
	}
	return wire.ProbeOther
}

// notAccepting is for how long a user may wait for Accept before the relay is told that the
// program does not accept.
const notAccepting = 5 * time.Second

// acceptance knows for how long a user has waited for Accept. The zero value is ready.
type acceptance struct {
	mu      sync.Mutex // guards what follows
	waiting int        // users
	since   time.Time  // since when there have been users, and Accept has taken none
}

// wait is called before a user waits for Accept, and done after that.
func (a *acceptance) wait() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting++; a.waiting == 1 {
		a.since = time.Now()
	}
}

func (a *acceptance) done() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting--
	a.since = time.Now()
}

func (a *acceptance) isStuck() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting > 0 && time.Since(a.since) >= notAccepting
}

// answerProbe answers that this process is there, and whether it accepts, as far as is
// known: if no user waits for Accept there is nothing wrong.
func (l *Listener) answerProbe(context.Context) wire.ProbeAnswer {
	if l.acceptance.isStuck() {
		return wire.ProbeAnswer{Failure: wire.ProbeNotAccepted}
	}
	return wire.ProbeAnswer{}
}
