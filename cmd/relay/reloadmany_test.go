package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
)

// reloadPatience bounds every wait. It is never reached unless the test fails.
const reloadPatience = time.Minute

// A relay is reloaded a hundred times in a row, with other settings each time, while users
// come: nobody is refused or reset, and no socket is opened again, so none is in use already.
func TestManyReloads(t *testing.T) {
	first := conntest.FreePorts(t, 2)
	path := filepath.Join(t.TempDir(), "relay.toml")
	write := func(n int) {
		text := fmt.Sprintf("stateDir = %q\n[server]\nport = %d\nbind = \"127.0.0.1\"\nports = \"%d-%d\"\nmaxUsers = %d\nlease = \"%ds\"\nprobe = \"%ds\"\n",
			filepath.Dir(path), first, first+1, first+1+n%2, 100+n, 60+n, 5+n%2)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	var f flags
	f.define()
	f.configFile = path
	from := &source{seen: sumOf(path), load: func() (*setup, error) { return f.loadSetup(path, nil) }}
	s, err := from.load()
	if err != nil {
		t.Fatal(err)
	}
	p, lines := newProcess(s, io.Discard, from)
	defer lines.Close(flushWait)
	ctx, cancel := context.WithCancel(context.Background())
	p.drain = cancel
	if err := p.open(io.Discard, lines.Dropped); err != nil {
		p.close()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		p.close()
	}()
	public, stop := echoThrough(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(first)))
	defer stop()
	stays := joinedUser(t, public)
	defer stays.Close()
	for n := range 100 {
		write(n + 1)
		if err := p.reloader.reload("the test"); err != nil {
			t.Fatal(err)
		}
		c := joinedUser(t, public)
		talk(t, c)
		_ = c.Close()
	}
	talk(t, stays)
}

// echoThrough puts an echo server online through a relay, until stop is called.
func echoThrough(t *testing.T, relayAddr string) (public string, stop func()) {
	t.Helper()
	l, err := relay.Listen(t.Context(), relayAddr, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().String(), echoing(t, l)
}

// echoing sends back what those send whom l accepts, until stop is called.
func echoing(tb testing.TB, l net.Listener) (stop func()) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { _, _ = io.Copy(c, c); _ = c.Close() })
		}
	})
	return func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			tb.Error(err)
		}
		running.Wait()
	}
}

func joinedUser(t *testing.T, public string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", public)
	if err != nil {
		t.Fatal(err)
	}
	talk(t, c)
	return c
}

// talk has a byte come back.
func talk(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(reloadPatience))
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}
