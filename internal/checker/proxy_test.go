package checker_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// proxy stands between users and the server, and is exact but for its faults.
type proxy struct {
	server string
	faults faults
}

// faults are what a proxy does wrong. The zero value is nothing.
type faults struct {
	// up and down, if not nil, are what is done to the bytes of a connection.
	up, down func(from io.Reader) io.Reader
	// cut tells at which byte of the down direction a connection ends with FIN;
	// 0 is not at all.
	cut int64
	// resetCut makes RST of it.
	resetCut bool
	// swallowEnd keeps the end of the up direction from the server.
	swallowEnd bool
	// endBoth makes the end of one direction that of both.
	endBoth bool
	// finForReset makes an end of a reset.
	finForReset bool
	// replay has a second connection to the server, with the same bytes.
	replay bool
}

// run serves until the test ends.
func (p *proxy) run(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			user, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.join(t, user.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

func (p *proxy) dial(t *testing.T) *net.TCPConn {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		t.Errorf("the proxy cannot reach the server: %v", err)
		return nil
	}
	return server.(*net.TCPConn)
}

func (p *proxy) join(t *testing.T, user *net.TCPConn) {
	server := p.dial(t)
	if server == nil {
		reset(user)
		return
	}
	var toServer io.Writer = server
	replayed := make(chan struct{})
	if !p.faults.replay {
		close(replayed)
	} else {
		second := p.dial(t)
		if second == nil {
			reset(user)
			reset(server)
			return
		}
		toServer = io.MultiWriter(server, second)
		var drained sync.WaitGroup
		drained.Go(func() {
			_, _ = io.CopyN(io.Discard, second, checker.HelloSize+1) // so it has heard the user
			close(replayed)
			_, _ = io.Copy(io.Discard, second)
			_ = second.Close()
		})
		defer drained.Wait()
		defer func() { _ = second.CloseWrite() }()
	}
	through := func(r io.Reader, fault func(io.Reader) io.Reader) io.Reader {
		if fault != nil {
			return fault(r)
		}
		return r
	}
	fromServer := through(server, p.faults.down)
	if p.faults.cut > 0 {
		fromServer = io.LimitReader(fromServer, p.faults.cut)
	}
	var wg sync.WaitGroup
	var failed sync.Once
	var mu sync.Mutex
	finished := make(map[*net.TCPConn]bool) // the proxy has sent FIN
	end := func(to, from *net.TCPConn, err error, swallow bool) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil && !finished[from] && isDead(from) {
			err = syscall.ECONNRESET // which a write has been told
		}
		switch {
		case err != nil && p.faults.finForReset:
			failed.Do(func() { _ = to.Close(); _ = from.Close() })
		case err != nil:
			failed.Do(func() {
				checker.AwaitAcked(t.Context(), to) // or the reset would overtake what was sent before
				reset(user)
				reset(server)
			})
		case p.faults.endBoth:
			failed.Do(func() { _ = to.Close(); _ = from.Close() })
		case !swallow:
			finished[to] = true
			_ = to.CloseWrite()
		}
	}
	wg.Go(func() {
		_, err := copyBytes(toServer, through(user, p.faults.up))
		end(server, user, err, p.faults.swallowEnd)
	})
	wg.Go(func() {
		<-replayed
		n, err := copyBytes(user, fromServer)
		switch {
		case p.faults.cut > 0 && n == p.faults.cut && p.faults.resetCut:
			failed.Do(func() { reset(user); reset(server) })
		case p.faults.cut > 0 && n == p.faults.cut:
			failed.Do(func() { _ = user.CloseWrite(); reset(server) })
		default:
			end(user, server, err, false)
		}
	})
	wg.Wait()
	failed.Do(func() { _ = user.Close(); _ = server.Close() })
	_ = user.Close()
}

// copyBytes is io.Copy without splice, whose errors hide resets.
func copyBytes(to io.Writer, from io.Reader) (n int64, err error) {
	b := make([]byte, 4096)
	for {
		m, err := from.Read(b)
		if m > 0 {
			if _, werr := to.Write(b[:m]); werr != nil {
				return n, werr
			}
			n += int64(m)
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// isDead reports whether a connection is gone that neither side has ended.
func isDead(conn *net.TCPConn) bool { return tcpstate.Of(watched{conn}) == tcpstate.Dead }

type watched struct{ *net.TCPConn }

func (w watched) Control(f func(fd uintptr)) error {
	raw, err := w.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// drop leaves out the byte at a position, and twice has it two times.
func drop(at int64) func(io.Reader) io.Reader { return edit(at, nil) }

func twice(at int64) func(io.Reader) io.Reader {
	return edit(at, func(b byte) []byte { return []byte{b, b} })
}

func flip(at int64) func(io.Reader) io.Reader {
	return edit(at, func(b byte) []byte { return []byte{b ^ 1} })
}

// edit puts something in place of the byte at a position.
func edit(at int64, by func(byte) []byte) func(io.Reader) io.Reader {
	return instead(at, 1, func(b []byte) []byte {
		if by == nil {
			return nil
		}
		return by(b[0])
	})
}

// instead puts something in place of some bytes at a position.
func instead(at int64, size int, by func([]byte) []byte) func(io.Reader) io.Reader {
	return func(from io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(from, at), &patch{from: from, size: size, by: by}, from)
	}
}

// patch reads some bytes, and gives others.
type patch struct {
	from io.Reader
	size int
	by   func([]byte) []byte
	rest io.Reader
}

func (p *patch) Read(b []byte) (int, error) {
	if p.rest == nil {
		old := make([]byte, p.size)
		if _, err := io.ReadFull(p.from, old); err != nil {
			return 0, err
		}
		p.rest = bytes.NewReader(p.by(old))
	}
	return p.rest.Read(b)
}

// exchange is between two connections: each gets what the other has brought.
type exchange struct {
	mu   sync.Mutex
	held []byte
	got  chan []byte // unbuffered
}

func (s *exchange) swap(mine []byte) []byte {
	s.mu.Lock()
	if s.held == nil {
		s.held = mine
		s.mu.Unlock()
		return <-s.got
	}
	theirs := s.held
	s.mu.Unlock()
	s.got <- mine
	return theirs
}
