package multiplex

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-yamux/v5"

	"github.com/seed96252745/relay/internal/join"
)

// stream makes a stream of the library behave as a TCP connection does.
type stream struct {
	*yamux.Stream
	onEnd func() // if set, called once when nothing is left of the stream

	writing sync.Mutex // the library reckons its window for one writer only
	readEnd atomic.Bool
	closed  atomic.Bool
}

var _ join.Conn = (*stream)(nil)

func (s *stream) Read(b []byte) (int, error) {
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.Stream.Read(b)
	if errors.Is(err, io.EOF) {
		s.readEnd.Store(true)
	}
	return n, s.translate(err)
}

func (s *stream) Write(b []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.Stream.Write(b)
	return n, s.translate(err)
}

// translate gives the library's errors the meaning that they have in net.
func (s *stream) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return net.ErrClosed
	case errors.Is(err, yamux.ErrTimeout):
		return os.ErrDeadlineExceeded
	}
	return err
}

// Reset ends both directions at once. It does nothing to a closed stream.
func (s *stream) Reset() error {
	if s.closed.Swap(true) {
		return net.ErrClosed
	}
	err := s.Stream.Reset()
	s.end()
	return err
}

// closeWait is how long the peer may take to end its direction after Close. A
// closed TCP socket answers further bytes with a reset; a reset in yamux would
// take the last bytes of ours from a peer that has not read them yet.
const closeWait = 5 * time.Second

// Close sends FIN, and gives the peer closeWait to send its own.
func (s *stream) Close() error {
	if s.closed.Swap(true) {
		return net.ErrClosed
	}
	// Wakes a Read and a Write that are blocked, so that the latter's lock is
	// to be had.
	_ = s.SetDeadline(time.Unix(1, 0))
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.CloseWrite()
	if s.readEnd.Load() {
		s.end()
	} else {
		go s.discard()
	}
	return err
}

// discard reads on until the peer ends its direction, for closeWait at most.
func (s *stream) discard() {
	_ = s.SetReadDeadline(time.Now().Add(closeWait))
	if _, err := io.Copy(io.Discard, s.Stream); err != nil {
		_ = s.Stream.Reset()
	}
	s.end()
}

func (s *stream) end() {
	if s.onEnd != nil {
		s.onEnd()
	}
}
