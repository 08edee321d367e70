package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay/relaytest"
)

// Services change one after the other, with reloads in a row, while users come to all of them:
// nobody is refused or reset, neither at the one that changes nor at another.
func TestReloadsOfServices(t *testing.T) {
	reloadServices(t, reloads{services: 10, count: 10, users: 100, every: 50 * time.Millisecond})
}

// BenchmarkReloadsOfServices shows the longest time that a user takes to come, send a few bytes
// and have them back: before any reload, and then at the services that do not change and at the
// one that does.
//
//	go test -run '^$' -bench ReloadsOfServices -benchtime 1x ./cmd/relay
func BenchmarkReloadsOfServices(b *testing.B) {
	for b.Loop() {
		longest := reloadServices(b, reloads{services: 50, count: 100, users: 200, every: 100 * time.Millisecond, before: 10 * time.Second})
		b.ReportMetric(float64(longest.before.Load())/1e6, "ms-before")
		b.ReportMetric(float64(longest.others.Load())/1e6, "ms-others")
		b.ReportMetric(float64(longest.changed.Load())/1e6, "ms-changed")
		b.ReportMetric(float64(longest.users.Load()), "users")
	}
}

// reloads is how much is tried.
type reloads struct {
	services, count int
	users           int           // a second, over all services
	every           time.Duration // from one reload to the next
	before          time.Duration // for how long users come before the first
}

// longest is what was seen.
type longest struct {
	before, others, changed atomic.Int64 // nanoseconds
	users                   atomic.Int64
	changing                atomic.Int64 // number of the service that changes; -1 is none
}

func (l *longest) note(service int64, took time.Duration) {
	to := &l.others
	switch l.changing.Load() {
	case -1:
		to = &l.before
	case service:
		to = &l.changed
	}
	for was := to.Load(); int64(took) > was && !to.CompareAndSwap(was, int64(took)); was = to.Load() {
	}
	l.users.Add(1)
}

// reloadServices has services change while users come.
func reloadServices(tb testing.TB, size reloads) *longest {
	server, err := relaytest.New()
	if err != nil {
		tb.Fatal(err)
	}
	defer server.Close()
	local, stop := echoLocally(tb)
	defer stop()
	path := filepath.Join(tb.TempDir(), "relay.toml")
	versions := make([]int, size.services)
	write := func() {
		var text strings.Builder
		fmt.Fprintf(&text, "stateDir = %q\n[relay]\naddress = %q\n", filepath.Dir(path), server.Addr())
		for i, version := range versions {
			fmt.Fprintf(&text, "[services.s%d]\nlocal = %q\nprotocol = %q\nname = \"v%d-%d\"\n", i, local, protocols()[(i+version)%3], i, version)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	write()
	p, end := startForwarder(tb, path)
	defer end()
	var seen longest
	seen.changing.Store(-1)
	public := registeredServices(tb, p, size.services)
	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	users.Go(func() { comeAndGo(ctx, tb, &seen, public, size.users) })
	stay := make([]net.Conn, len(public))
	for i, addr := range public {
		stay[i] = newUser(tb, addr)
		defer stay[i].Close()
	}
	<-time.After(size.before)
	next := time.NewTicker(size.every)
	defer next.Stop()
	for n := range size.count {
		<-next.C
		i := n % size.services
		versions[i]++
		write()
		seen.changing.Store(int64(i))
		if err := p.reloader.reload("the test"); err != nil {
			tb.Fatal(err)
		}
	}
	<-next.C
	cancel()
	users.Wait()
	for i, c := range stay {
		if err := sendAndGet(c); err != nil {
			tb.Errorf("a user of service %d, who stays: %v", i, err)
		}
	}
	return &seen
}

// startForwarder runs a process by a file until end is called.
func startForwarder(tb testing.TB, path string) (p *process, end func()) {
	tb.Helper()
	var f flags
	f.define()
	f.configFile = path
	from := &source{seen: sumOf(path), load: func() (*setup, error) { return f.loadSetup(path, nil) }}
	s, err := from.load()
	if err != nil {
		tb.Fatal(err)
	}
	p, lines := newProcess(s, io.Discard, from)
	ctx, cancel := context.WithCancel(context.Background())
	p.drain = cancel
	if err := p.open(io.Discard, lines.Dropped); err != nil {
		p.close()
		tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx) }()
	return p, func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		p.close()
		lines.Close(flushWait)
	}
}

// registeredServices waits until all services are registered, and returns where users find them.
func registeredServices(tb testing.TB, p *process, services int) (public []string) {
	tb.Helper()
	late := time.Now().Add(reloadPatience)
	for p.forwarder.node.Status().Tunnels < services {
		if time.Now().After(late) {
			tb.Fatalf("the status is %+v", p.forwarder.node.Status())
		}
		<-time.After(time.Millisecond)
	}
	for _, tunnel := range p.forwarder.node.Tunnels() {
		public = append(public, tunnel.Public)
	}
	return public
}

// comeAndGo has so many users a second come to the services in turn, until ctx is done.
func comeAndGo(ctx context.Context, tb testing.TB, seen *longest, public []string, perSecond int) {
	var users sync.WaitGroup
	defer users.Wait()
	next := time.NewTicker(time.Second / time.Duration(perSecond))
	defer next.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		i := n % len(public)
		users.Go(func() {
			began := time.Now()
			changing := seen.changing.Load() == int64(i)
			c, err := net.Dial("tcp", public[i])
			if err == nil {
				err = sendAndGet(c)
				_ = c.Close()
			}
			if err != nil {
				tb.Errorf("a user of service %d, which changes: %v: %v", i, changing, err)
				return
			}
			seen.note(int64(i), time.Since(began))
		})
	}
}

func newUser(tb testing.TB, addr string) net.Conn {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err == nil {
		err = sendAndGet(c)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// sendAndGet has bytes come back.
func sendAndGet(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(reloadPatience))
	sent, got := []byte("sixteen bytes ok"), make([]byte, 16)
	if _, err := c.Write(sent); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != string(sent) {
		return fmt.Errorf("%q came back", got)
	}
	return nil
}

// echoLocally runs an echo server until stop is called.
func echoLocally(tb testing.TB) (addr string, stop func()) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l.Addr().String(), echoing(tb, l)
}
