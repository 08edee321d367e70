//go:build lab && linux

package lab_test

import (
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

// What merely looks like death is none.
func TestNobodyIsTakenForDead(t *testing.T) {
	t.Parallel()
	long(t)
	const loss = 0.2
	all := []string{"multiplex", "pool", "event"}
	both := []string{"pool", "event"} // in multiplex the process itself answers for its life
	for _, tt := range []struct {
		name      string
		protocols []string
		trouble   func(p *pairs) // until it is over
	}{
		{"unread", all, func(p *pairs) { p.pause(3 * time.Minute) }},
		{"lossuser", all, func(p *pairs) { p.suffer(p.Relay.Loss(netlab.Near, loss), p.User.Loss(netlab.Far, loss)) }},
		{"lossrelay", all, func(p *pairs) { p.suffer(p.Lossy(loss)) }},
		{"slow", all, func(p *pairs) { p.suffer(p.SlowLink(1_000_000)) }},
		{"stopped", both, (*pairs).stop},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			newPairs(t, tt.protocols...).wantAllIn(tt.trouble)
		})
	}
}

// wantAllIn has each protocol bring every byte in spite of some trouble: of a user
// whose bytes move meanwhile, and of one who does not read until it is over.
func (p *pairs) wantAllIn(trouble func(p *pairs)) {
	p.t.Helper()
	var waiting []waitingPair
	for _, protocol := range p.protocols {
		waiting = append(waiting, p.closeWindow(protocol))
	}
	var moving sync.WaitGroup
	defer moving.Wait()
	for _, protocol := range p.protocols {
		moved := p.connect(protocol)
		moving.Go(func() { p.move(protocol, moved, 70*time.Second) })
	}
	trouble(p)
	moving.Wait()
	for _, w := range waiting {
		w.wantAll(p.t)
	}
}

// suffer has faults last for a minute.
func (p *pairs) suffer(faults ...netlab.Fault) {
	p.t.Helper()
	for _, f := range faults {
		p.inject(f)
	}
	p.pause(time.Minute)
	for _, f := range faults {
		p.heal(f)
	}
}

// stop freezes relay and forwarders for a minute.
func (p *pairs) stop() {
	p.t.Helper()
	processes := []*netlab.Process{p.relay}
	for _, f := range p.forwarders {
		processes = append(processes, f)
	}
	for _, process := range processes {
		if err := process.Freeze(); err != nil {
			p.t.Fatal(err)
		}
	}
	p.pause(time.Minute)
	for _, process := range processes {
		if err := process.Thaw(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// waitingPair waits behind a closed window.
type waitingPair struct {
	pair
	protocol string
	sent     int64
}

// closeWindow connects a user who does not read what the server sends.
func (p *pairs) closeWindow(protocol string) waitingPair {
	p.t.Helper()
	made := p.connect(protocol)
	return waitingPair{made, protocol, fill(p.t, made.server)}
}

// wantAll has the user read at last, and get every byte.
func (w waitingPair) wantAll(t *testing.T) {
	_ = w.user.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := io.CopyN(io.Discard, w.user, w.sent); err != nil {
		t.Errorf("%s, who did not read: after %d of %d bytes: %v", w.protocol, n, w.sent, err)
	}
}

// move has the server send for a while, up to 1 MB/s, and the user read it.
func (p *pairs) move(protocol string, moved pair, lasting time.Duration) {
	deadline := time.Now().Add(lasting)
	var sent int64
	var sending sync.WaitGroup
	sending.Go(func() {
		chunk := make([]byte, 16<<10)
		for ; time.Now().Before(deadline); <-time.After(16 * time.Millisecond) {
			_ = moved.server.SetWriteDeadline(deadline)
			n, err := moved.server.Write(chunk)
			sent += int64(n)
			if err != nil && !os.IsTimeout(err) {
				p.t.Errorf("%s: writing: %v", protocol, err)
				break
			}
		}
		_ = moved.server.CloseWrite()
	})
	_ = moved.user.SetReadDeadline(deadline.Add(2 * time.Minute))
	n, err := io.Copy(io.Discard, moved.user)
	sending.Wait()
	if err != nil || n != sent {
		p.t.Errorf("%s: of %d bytes %d have arrived, %v\n%s", protocol, sent, n, err, p.Sockets(p.t.Context()))
	}
	p.t.Logf("MEASURED %s: %d bytes moved", protocol, n)
}
