package conformance_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay"
)

// A receiver may take its time. The relay does not end the connection because it reads
// nothing for longer than a vanished peer is waited for.
func TestReceiverPauses(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 35 seconds: run it without -short")
	}
	t.Parallel()          // it waits, mostly
	const size = 96 << 20 // more than the sockets on the way hold for a receiver that does not read
	type transfer struct {
		name     string
		from, to *net.TCPConn
		sent     chan error
	}
	var transfers []transfer // all at the same time, because the pause is what takes long
	for _, protocol := range []relay.Protocol{relay.Multiplex, relay.Pool, relay.Event} {
		p := newPairing(t, protocol)
		for _, by := range []string{"user", "server"} {
			from, to := p.pair(t)
			if by == "server" {
				from, to = to, from
			}
			sent := make(chan error, 1)
			go func() {
				err := send(from, newStream(1), size)
				if err == nil {
					err = from.CloseWrite()
				}
				sent <- err
			}()
			transfers = append(transfers, transfer{string(protocol) + " by " + by, from, to, sent})
		}
	}
	<-time.After(35 * time.Second)
	// What did not fit into the receiver's socket has been sent again and again
	// meanwhile, at intervals that double; the next try may be as far away as the
	// last one is past. So all of them are received at once.
	var wg sync.WaitGroup
	for _, tr := range transfers {
		wg.Go(func() {
			for _, conn := range []*net.TCPConn{tr.from, tr.to} {
				if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
					t.Error(err)
				}
			}
			if err := receiveAll(tr.to, newStream(1), size); err != nil {
				t.Errorf("%s: receiving: %v", tr.name, err)
			}
			if err := <-tr.sent; err != nil {
				t.Errorf("%s: sending: %v", tr.name, err)
			}
		})
	}
	wg.Wait()
}

// Bytes that fit into sockets are written long before they are read, and the end follows
// them: at once, or after the receiver has paused for long.
func TestReceiverIsLate(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 55 seconds: run it without -short")
	}
	t.Parallel() // it waits, mostly
	const size = 1 << 20
	var receivers, senders []*net.TCPConn
	for _, protocol := range []relay.Protocol{relay.Multiplex, relay.Pool, relay.Event} {
		p := newPairing(t, protocol)
		for _, by := range []string{"user", "server"} {
			for _, atOnce := range []bool{true, false} {
				from, to := p.pair(t)
				if by == "server" {
					from, to = to, from
				}
				must(t, to.CloseWrite())
				must(t, receiveAll(from, newStream(2), 0))
				must(t, send(from, newStream(1), size))
				if atOnce {
					must(t, from.CloseWrite())
				} else {
					senders = append(senders, from)
				}
				receivers = append(receivers, to)
			}
		}
	}
	<-time.After(40 * time.Second)
	for _, from := range senders {
		must(t, from.CloseWrite())
	}
	<-time.After(15 * time.Second)
	for i, to := range receivers {
		must(t, to.SetDeadline(time.Now().Add(patience)))
		if err := receiveAll(to, newStream(1), size); err != nil {
			t.Errorf("receiver %d: %v", i, err)
		}
	}
}
