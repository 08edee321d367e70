package yamux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Errors of sessions and streams.
var (
	// ErrSessionEnded is wrapped by the errors of everything that was under
	// way on a session when it ended, and of what is tried afterwards.
	ErrSessionEnded = errors.New("yamux: session ended")
	// ErrReset is the error of a stream that the peer has reset. It is an
	// ECONNRESET, as on TCP.
	ErrReset = fmt.Errorf("yamux: stream: %w", syscall.ECONNRESET)
	// ErrGoneAway is returned by Open when the peer takes no more streams.
	ErrGoneAway = errors.New("yamux: the peer takes no more streams")
	// ErrTooManyStreams is returned by Open at the limit of Config.MaxStreams.
	ErrTooManyStreams = errors.New("yamux: too many streams")
	// ErrProtocol ends a session whose peer breaks the specification.
	ErrProtocol = errors.New("yamux: protocol error")
	// ErrDead ends a session whose peer does not answer.
	ErrDead = errors.New("yamux: the peer is silent")
)

// maxUnacknowledged is how many streams may be open that the peer has not
// acknowledged: the accept backlog of all implementations that are known, some
// of which end the session when there are more.
const maxUnacknowledged = 256

// maxStrays is how many frames per minute that make no sense, such as streams
// that the peer may not open, a session puts up with.
const maxStrays = 100

// Config sets up a session. The zero value is for the side that opens streams.
type Config struct {
	// Accept is set if the peer may open streams; otherwise they are reset.
	Accept bool
	// MaxStreams bounds the streams that are open at a time. Zero means 4096.
	MaxStreams int
}

// Conn is what a session runs on.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Session is one side of a connection with streams. Its methods may be called
// concurrently.
type Session struct {
	conn   Conn
	config Config
	parity uint32 // of the ids of streams that we open: 1 for the client
	out    *sender

	accepted   chan *Stream  // never closed
	unacked    chan struct{} // holds one for each stream that is not acknowledged
	refusing   chan struct{} // closed when the peer takes no more streams
	refuse     func()        // closes refusing, once
	done       chan struct{} // closed when the session has ended
	received   atomic.Int64  // when the last bytes came, after started
	started    time.Time
	running    sync.WaitGroup
	readerGone chan struct{} // closed when nothing is read any more

	mu      sync.Mutex // guards what follows
	streams map[uint32]*Stream
	nextID  uint32
	goAway  bool  // we take no more streams
	err     error // why the session has ended
}

// Client starts the side with odd stream ids, and Server the other one, on
// conn, which is theirs from here on.
func Client(conn Conn, config Config) *Session { return start(conn, config, 1) }

// Server is the counterpart of Client.
func Server(conn Conn, config Config) *Session { return start(conn, config, 2) }

func start(conn Conn, config Config, firstID uint32) *Session {
	if config.MaxStreams == 0 {
		config.MaxStreams = 4096
	}
	s := &Session{
		conn:       conn,
		config:     config,
		parity:     firstID % 2,
		out:        newSender(conn),
		accepted:   make(chan *Stream, maxUnacknowledged),
		unacked:    make(chan struct{}, maxUnacknowledged),
		refusing:   make(chan struct{}),
		done:       make(chan struct{}),
		started:    time.Now(),
		readerGone: make(chan struct{}),
		streams:    make(map[uint32]*Stream),
		nextID:     firstID,
	}
	s.refuse = sync.OnceFunc(func() { close(s.refusing) })
	s.running.Go(func() {
		defer close(s.readerGone)
		s.end(newReceiver(s).run())
	})
	s.running.Go(func() {
		if err := s.out.run(); err != nil {
			s.end(err)
		}
	})
	s.running.Go(s.watchPeer)
	return s
}

// Open opens a stream. While too many are not acknowledged by the peer it
// waits until ctx is done, and then returns its cause.
func (s *Session) Open(ctx context.Context) (*Stream, error) {
	select {
	case <-s.refusing:
		return nil, s.refusal()
	default:
	}
	select {
	case s.unacked <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.refusing:
		return nil, s.refusal()
	}
	st, err := s.add()
	if err != nil {
		<-s.unacked
		return nil, err
	}
	if err := s.out.ordered(header{typeWindowUpdate, flagSYN, st.id, 0}); err != nil {
		st.sessionEnded(err)
		return nil, err
	}
	return st, nil
}

func (s *Session) add() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case len(s.streams) >= s.config.MaxStreams:
		return nil, ErrTooManyStreams
	case s.nextID > 1<<31: // the ids are used up after two thousand million users
		return nil, ErrGoneAway
	}
	st := newStream(s, s.nextID)
	st.unacked = true
	s.nextID += 2
	s.streams[st.id] = st
	return st, nil
}

func (s *Session) refusal() error {
	if err := s.Err(); err != nil {
		return err
	}
	return ErrGoneAway
}

// Accept waits for a stream that the peer opens, and acknowledges it. Its
// error is the one that ended the session.
func (s *Session) Accept() (*Stream, error) {
	select {
	case st := <-s.accepted:
		st.acknowledge()
		return st, nil
	case <-s.done:
		return nil, s.Err()
	}
}

// Refusing is closed when Open cannot succeed any more: the peer has said so,
// or the session has ended.
func (s *Session) Refusing() <-chan struct{} { return s.refusing }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session has ended, and wraps ErrSessionEnded. It is nil
// before.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// GoAway tells the peer that no more streams are taken; what it opens is
// reset. Streams that are open go on.
func (s *Session) GoAway() {
	s.mu.Lock()
	first := !s.goAway
	s.goAway = true
	s.mu.Unlock()
	if first {
		_ = s.out.ordered(header{typeGoAway, 0, 0, goAwayNormal}) // fails with the session
	}
}

const (
	// finishWait is how long the peer may take to read what was sent, and to
	// end its side of the connection then.
	finishWait = 30 * time.Second
	// accuseWait is how long it takes to tell a peer that broke the rules.
	accuseWait = time.Second
)

// Finish ends the session after what was written has arrived: the peer ends the
// connection when it has read all. It is for sessions without streams. It takes
// up to 30 seconds, and Close cuts it short.
func (s *Session) Finish() {
	timer := time.AfterFunc(finishWait, func() { s.end(ErrDead) })
	defer timer.Stop()
	s.out.drain()
	if s.conn.CloseWrite() == nil {
		<-s.readerGone
	}
	s.Close()
}

// Close ends the session at once, and with it its streams, on both sides. It
// returns when the goroutines have ended.
func (s *Session) Close() {
	s.end(net.ErrClosed)
	s.running.Wait()
}

// end ends the session for the given reason, unless it has ended already.
func (s *Session) end(reason error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	err := sessionError(reason)
	s.err = err
	streams := s.streams
	s.streams = nil
	s.mu.Unlock()

	s.refuse()
	close(s.done)
	s.out.end(err)
	_ = s.conn.Close() // whoever is in a read or a write of it comes out
	for _, st := range streams {
		st.sessionEnded(err)
	}
}

// sessionError gives the error of all that ends with a session. The end of the
// connection must not pass for the end of a stream.
func sessionError(reason error) error {
	switch {
	case errors.Is(reason, ErrSessionEnded):
		return reason
	case errors.Is(reason, io.EOF):
		reason = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrSessionEnded, reason)
}

// accuse tells the peer that it broke the rules, if it still reads.
func (s *Session) accuse() {
	_ = s.conn.SetWriteDeadline(time.Now().Add(accuseWait)) // fails as the write does
	s.out.control(header{typeGoAway, 0, 0, goAwayProtocol})
	s.out.drain()
}

// remove takes a stream out that has ended.
func (s *Session) remove(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st.id)
}

func (s *Session) find(id uint32) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[id]
}

// How long a peer may be silent, 30 s in all. It is pinged only when nothing
// else came from it, and any byte proves that it lives: on a slow link the
// answer to a ping waits behind data. The wait for the answer is counted in
// steps, so that a process that was stopped for a while does not take its own
// silence for the peer's.
const (
	pingAfter = 15 * time.Second
	pingStep  = 5 * time.Second
	pingSteps = 3
)

func (s *Session) watchPeer() {
	timer := time.NewTimer(pingAfter)
	defer timer.Stop()
	for waited := 0; ; {
		select {
		case <-timer.C:
		case <-s.done:
			return
		}
		silent := time.Since(s.started) - time.Duration(s.received.Load())
		switch {
		case silent < pingAfter:
			waited = 0
			timer.Reset(pingAfter - silent)
			continue
		case waited == pingSteps:
			s.end(ErrDead)
			return
		case waited == 0:
			s.out.control(header{typePing, flagSYN, 0, 0})
		}
		waited++
		timer.Reset(pingStep)
	}
}
