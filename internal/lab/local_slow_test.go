//go:build lab && linux

package lab_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
)

// Between relay and forwarder every byte comes by itself.
func TestRow25Slices(t *testing.T) {
	eachLocal(t, "row25_slices", func(t *testing.T, protocol string) {
		p := newLocalPlay(t)
		_, addr := localRelay(t)
		_, public := localForwarder(t, slicer(t, addr), p.local, protocol)
		p.used(public, "--users=40", "--parallel=10", "--modes=echo,both,half-close,server-half-close,server-first",
			fmt.Sprintf("--up=%d", shortOr(3000, 20_000)), fmt.Sprintf("--down=%d", shortOr(3000, 20_000)))
		s := p.verify(checker.Rules{})
		record(t, "25", "one byte at a time between relay and forwarder, both ways", "proxy",
			fmt.Sprintf("%d of %d complete, %s", s.Complete, s.Users, mib(s.Up+s.Down)))
	})
}

// slicer listens before an address, and hands on byte by byte, until the test ends.
func slicer(t *testing.T, to string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { slice(from.(*net.TCPConn), to) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait() // relay and forwarder have ended by then, and their connections with them
	})
	return l.Addr().String()
}

func slice(a *net.TCPConn, to string) {
	conn, err := net.Dial("tcp", to)
	if err != nil {
		rawReset(a)
		return
	}
	b := conn.(*net.TCPConn)
	var ways sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{a, b}, {b, a}} {
		ways.Go(func() {
			if err := sliceWay(way[0], way[1]); err != nil {
				rawReset(a)
				rawReset(b)
			}
		})
	}
	ways.Wait()
	_ = a.Close()
	_ = b.Close()
}

func sliceWay(from, to *net.TCPConn) error {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		for i := range n {
			if _, err := to.Write(buffer[i : i+1]); err != nil {
				return err
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return to.CloseWrite()
			}
			return err
		}
	}
}

// One user who reads slowly is among many who do not.
func TestRow27SlowUser(t *testing.T) {
	eachLocal(t, "row27_slow-user", func(t *testing.T, protocol string) {
		r := newLocalRig(t, protocol, localSetup{})
		before := r.baseline()
		users := shortOr(500, 4000)
		others := func(seed string) time.Duration {
			begin := time.Now()
			r.used(r.public, fmt.Sprintf("--users=%d", users), "--parallel=99", "--modes=download", "--down=250000", "--seed="+seed)
			return time.Since(begin)
		}
		alone := others("271")
		slow := r.use(r.public, "--users=1", "--modes=slow-read", "--down=67108864", "--linger=65536s") // 1 KiB/s
		until(t, "the slow user is served", func() bool { return r.relay.state().Users == 1 })
		beside := others("272")
		held := r.relay.state()
		slow.signal(syscall.SIGTERM)
		slow.wait()
		leaks := r.noLeak(before)
		s := r.verify(checker.Rules{Faulty: true})
		if want := 2*users + 20; s.Complete != want {
			t.Errorf("got %d complete, want the %d who are not slow", s.Complete, want)
		}
		record(t, "27", "one user who reads 1 KiB/s among 100", "user that reads slowly",
			fmt.Sprintf("the others take %.1f s, %.1f s without it; heap of the relay meanwhile %s, was %s; %s",
				beside.Seconds(), alone.Seconds(), mib(held.HeapBytes), mib(before[0].HeapBytes), leaks))
	})
}

// Many users do not read at all.
func TestRow28NobodyReads(t *testing.T) {
	eachLocal(t, "row28_nobody-reads", func(t *testing.T, protocol string) {
		users := shortOr(200, 2000)
		r := newLocalRig(t, protocol, localSetup{relay: []string{"--maxUsers=3000"}})
		before := r.baseline()
		rss := r.relay.rss()
		// A byte or two in a second.
		deaf := r.use(r.public, fmt.Sprintf("--users=%d", users), fmt.Sprintf("--parallel=%d", users), "--modes=slow-read", "--down=524288", "--linger=100h")
		until(t, "all users are served", func() bool { return r.relay.state().Users == users })
		r.used(r.public, "--users=100", "--parallel=10", "--modes=echo,both", "--up=100000", "--down=100000", "--seed=28")
		held, heldRSS := r.relay.state(), r.relay.rss()
		deaf.signal(syscall.SIGTERM)
		deaf.wait()
		leaks := r.noLeak(before)
		s := r.verify(checker.Rules{Faulty: true})
		if want := 120; s.Complete != want {
			t.Errorf("got %d complete, want the %d who read", s.Complete, want)
		}
		record(t, "28", "users who do not read", fmt.Sprintf("%d users, 512 KiB for each", users),
			fmt.Sprintf("memory of the relay %s, was %s; heap %s; %d of them reset; the 120 who read complete; %s",
				mib(heldRSS), mib(rss), mib(held.HeapBytes), s.Ends[checker.EndReset], leaks))
	})
}
