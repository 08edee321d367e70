package relay_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// holding passes connections on to a relay, and what comes back from it. While it holds that, it
// notes that something came.
type holding struct {
	addr  string
	holds atomic.Bool
	held  chan struct{}
}

func holdingBefore(t *testing.T, relayAddr string) *holding {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &holding{addr: l.Addr().String(), held: make(chan struct{}, 100)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { h.pass(c, relayAddr) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return h
}

func (h *holding) pass(client net.Conn, relayAddr string) {
	defer client.Close()
	server, err := net.Dial("tcp", relayAddr)
	if err != nil {
		return
	}
	defer server.Close()
	hold := h.holds.Load()
	var running sync.WaitGroup
	running.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	if hold {
		if n, _ := server.Read(make([]byte, 1)); n > 0 {
			h.held <- struct{}{}
		}
		running.Wait() // the client gives up
		return
	}
	_, _ = io.Copy(client, server)
	_ = client.Close()
	running.Wait()
}

// A registration that is given up may have been granted by then, and have taken over from the
// tunnel that there is.
func TestReplaceBack(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		h := holdingBefore(t, relaytest.Start(t).Addr())
		options.Keys = fixedKeys("a-key-of-twenty-two-characters")
		local := naming(t, "")
		f := run(t, h.addr, local, options)
		other := *options
		other.Users = 1000
		h.holds.Store(true)
		f.replace(t, h.addr, local, &other)
		within(t, h.held, "the answer of the relay")
		h.holds.Store(false)
		f.replace(t, h.addr, local, options)
		for since := time.Now(); ; tick(t) {
			err := comeOnce(f.public)
			if err == nil {
				break
			}
			if time.Since(since) > patience {
				t.Fatalf("no user is served: %v", err)
			}
		}
	})
}
