package yamux_test

import (
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/yamux"
)

// Whatever the peer sends to streams that pour into sockets, which take some of it or
// all, nothing is kept and nobody waits for ever.
func FuzzAttached(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		f.Add(false, true, broken[name])
		f.Add(true, false, broken[name])
	}
	large := string(pattern(60, 0, 50_000))
	for _, seed := range [][]byte{
		encode(data(1, flagACK, large), data(1, 0, "small"), data(1, flagFIN, large)),
		encode(data(2, flagACK, large), data(2, 0, "small"), data(2, flagFIN, large)),
		encode(data(3, flagSYN, large), data(3, flagRST, large), data(1, 0, large)),
		encode(data(4, flagSYN, large), data(4, flagRST, large), data(2, 0, large)),
		encode(data(1, 0, large), data(2, 0, large), update(1, flagRST, 0), update(2, flagRST, 0)),
		encode(data(1, 0, large), data(2, 0, large))[:70_000],
		encode(data(3, flagSYN, large), data(5, flagSYN, large), data(3, 0, large), data(5, flagFIN, large)),
		encode(data(4, flagSYN, large), data(6, flagSYN, large), data(4, 0, large), data(6, flagFIN, large)),
	} {
		f.Add(false, false, seed)
		f.Add(false, true, seed)
		f.Add(true, false, seed)
		f.Add(true, true, seed)
	}
	f.Fuzz(func(t *testing.T, server, reads bool, in []byte) {
		side := yamux.Client
		if server {
			side = yamux.Server
		}
		budget := yamux.NewBudget(100_000)
		near, far := tcpPair(t)
		session := side(near, yamux.Config{Accept: true, MaxStreams: 16, Budget: budget})
		var sinks []*sink
		st, err := session.Open(t.Context())
		check(t, err)
		sinks = append(sinks, newSink(t, st, reads))
		accepting := async(func() error {
			for {
				st, err := session.Accept(background)
				if err != nil {
					return err
				}
				sinks = append(sinks, newSink(t, st, reads))
			}
		})
		draining := async(func() error { _, err := io.Copy(io.Discard, far); return err })
		_, _ = far.Write(in) // fails when the session has ended
		_ = far.CloseWrite()
		wait(t, session.Done(), "the end of the session")
		wantSessionErr(t, "Err", session.Err())
		session.Close()
		wait(t, accepting, "the end of Accept")
		wait(t, draining, "the end of the connection")
		for _, s := range sinks {
			s.end()
		}
		if n := budget.Used(); n != 0 {
			t.Errorf("%d bytes count as held by nobody", n)
		}
	})
}

// sink is a stream that pours into a socket.
type sink struct {
	t  *testing.T
	st *yamux.Stream

	mu  sync.Mutex // guards what follows
	fds [2]int
	buf []byte // for reads from the socket, or nil
}

func newSink(t *testing.T, st *yamux.Stream, reads bool) *sink {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	s := &sink{t: t, st: st, fds: fds}
	if reads {
		s.buf = make([]byte, 64<<10)
	}
	st.Attach(s.pour, func() {})
	s.pour()
	return s
}

func (s *sink) pour() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		n, streamErr, socketErr := s.st.PourTo(s.fds[0])
		if s.buf != nil {
			for {
				if n, _ := unix.Read(s.fds[1], s.buf); n <= 0 {
					break
				}
			}
		}
		switch {
		case streamErr != nil && !errors.Is(streamErr, io.EOF) && !errors.Is(streamErr, yamux.ErrReset) &&
			!errors.Is(streamErr, yamux.ErrSessionEnded) && !errors.Is(streamErr, yamux.ErrOverBudget):
			s.t.Errorf("pouring fails with %v", streamErr)
		case socketErr != nil && !errors.Is(socketErr, unix.EAGAIN):
			s.t.Errorf("the socket fails with %v", socketErr)
		}
		if streamErr != nil || s.buf == nil || n == 0 {
			return
		}
	}
}

func (s *sink) end() {
	s.pour()
	_ = s.st.Close()
	for _, fd := range s.fds {
		check(s.t, unix.Close(fd))
	}
}
