package yamux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/crash"
)

// Errors of sessions and streams.
var (
	// ErrSessionEnded is wrapped by the errors of everything that was in progress on a
	// session when it ended, and of everything tried afterwards.
	ErrSessionEnded error = sessionEnded{}
	// ErrReset is the error of a stream that the peer has reset. It is an ECONNRESET,
	// as on TCP.
	ErrReset = fmt.Errorf("yamux: stream: %w", syscall.ECONNRESET)
	// ErrGoneAway is returned by Open when the peer accepts no more streams.
	ErrGoneAway = errors.New("yamux: the peer accepts no more streams")
	// ErrTooManyStreams is returned by Open at the limit of Config.MaxStreams.
	ErrTooManyStreams = errors.New("yamux: too many streams")
	// ErrOverBudget is the error of a stream that was reset because its reader left too
	// much unread while memory was short.
	ErrOverBudget = errors.New("yamux: stream: too much is left unread")
	// ErrProtocol ends a session whose peer violates the specification.
	ErrProtocol = errors.New("yamux: protocol error")
	// ErrDead ends a session whose peer does not answer.
	ErrDead = errors.New("yamux: the peer does not answer")
)

// sessionEnded lets a caller that does not know yamux tell it from the end of one
// stream.
type sessionEnded struct{}

func (sessionEnded) Error() string { return "yamux: session ended" }

// EndedAll marks the error as one that has ended all streams.
func (sessionEnded) EndedAll() {}

// acceptBacklog bounds the streams of the peer that wait for Accept: as many as a peer
// may leave unacknowledged, ended ones included. Further ones are reset.
const acceptBacklog = (1 + endedShare) * maxUnacknowledged

// Session is one side of a connection with streams. Its methods may be called
// concurrently.
type Session struct {
	conn   Conn
	config Config
	out    *sender

	parity     uint32 // of the ids of streams opened here: 1 for the client
	peerNextID uint32 // one more than the largest id that the peer has used

	accepted   chan *Stream    // never closed; nil, on which receives block forever, if the peer may not open streams
	refusing   context.Context // done when the peer accepts no more streams
	refuse     context.CancelCauseFunc
	done       chan struct{} // closed when the session has ended
	buffered   *Budget       // of this session
	peer       peer
	keepalive  keepalive
	running    sync.WaitGroup
	aborting   sync.Once
	resetting  sync.RWMutex  // read-locked between a stream's removal and the queueing of its RST
	readerDone chan struct{} // closed when the reader has ended

	unacked unacked

	mu          sync.Mutex // guards what follows
	streams     map[uint32]*Stream
	endedUnread map[uint32]*Stream // have ended, and still hold something; nil until there is one
	late        lateFrames
	peerLimit   peerLimit
	nextID      uint32
	localGoAway bool         // we accept no more streams
	closeReason error        // why this side is about to end the session, whatever the peer answers
	crash       *crash.Error // is about to end the session
	err         error        // why the session has ended
}

// Client starts the side with odd stream ids, and Server the other one, on conn, which
// the session owns from then on.
func Client(conn Conn, config Config) *Session { return start(conn, config, 1) }

// Server is the counterpart of Client.
func Server(conn Conn, config Config) *Session { return start(conn, config, 2) }

func start(conn Conn, config Config, firstID uint32) *Session {
	config = config.orDefaults()
	s := &Session{
		conn:       conn,
		config:     config,
		parity:     firstID % 2,
		unacked:    newUnacked(config.MaxUnacknowledged),
		done:       make(chan struct{}),
		buffered:   NewBudget(config.MaxBuffered),
		peer:       peer{started: time.Now()},
		readerDone: make(chan struct{}),
		streams:    make(map[uint32]*Stream),
		nextID:     firstID,
	}
	s.out = newSender(conn, func() { s.running.Go(s.writeLoop) })
	config.Budget.trackSession(s, false)
	s.refusing, s.refuse = context.WithCancelCause(context.Background())
	if config.Accept {
		s.accepted = make(chan *Stream, acceptBacklog)
	}
	s.startKeepalive()
	s.running.Go(s.readLoop)
	return s
}

func (s *Session) readLoop() {
	defer close(s.readerDone)
	s.closeWithError(catchPanic(newReceiver(s).run))
	err := s.Err()
	s.out.stop(err) // closeWithError may not have come that far elsewhere; after this nothing else writes
	s.out.discardUnsent(err)
	s.resetUnaccepted()
}

// writeLoop writes what others have left to be written.
func (s *Session) writeLoop() {
	if err := catchPanic(s.out.writeLoop); err != nil {
		s.closeWithError(err)
	}
}

// Refusing returns a context that is done when Open cannot succeed any more. Its cause
// is Config.GoneAway if the peer has said so, or else why the session has ended.
func (s *Session) Refusing() context.Context { return s.refusing }

// Done returns a channel that is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session has ended, wrapping ErrSessionEnded, or nil before.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// StopOpening has Open fail from now on, as if the peer had sent GO_AWAY. Open streams
// go on.
func (s *Session) StopOpening() { s.refuse(s.config.GoneAway) }

// GoAway tells the peer that no more streams are accepted. It resets streams that the
// peer opens from then on, and those that wait for Accept. Accepted streams go on.
func (s *Session) GoAway() {
	s.mu.Lock()
	first := !s.localGoAway
	s.localGoAway = true
	s.mu.Unlock()
	if first {
		_ = s.out.sendOrdered(nil, header{typeGoAway, 0, 0, goAwayNormal}) // fails with the session
		s.resetUnaccepted()
	}
}

// closeWithError ends the session for the given reason, unless it has ended already.
func (s *Session) closeWithError(reason error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	if s.closeReason != nil {
		reason = s.closeReason
	}
	err := sessionError(reason)
	if s.crash != nil && !errors.Is(err, s.crash) {
		err = fmt.Errorf("%w; %w", err, s.crash)
	}
	s.err = err
	s.stopKeepaliveLocked()
	streams := s.streams
	s.streams = nil
	s.mu.Unlock()

	s.config.Counters.countEnd(err)
	s.refuse(err)
	close(s.done)
	s.out.stop(err)
	_ = catchPanic(s.conn.Close) // blocked reads and writes of it return
	for _, st := range streams {
		st.endWithSession(err)
	}
	s.config.Budget.trackSession(s, true)
}

// sessionError returns the error of everything that ends with a session. The end of the
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

// resetUnaccepted resets the streams that wait for Accept.
func (s *Session) resetUnaccepted() {
	for {
		select {
		case st := <-s.accepted:
			_ = st.Reset() // fails if it was reset already
		default:
			return
		}
	}
}

// removeStream removes a stream that has ended. It can be shed as long as it holds
// something.
func (s *Session) removeStream(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st.id)
	s.unacked.removeLocked(st)
	s.late.add(st.maxLate())
	maps.DeleteFunc(s.endedUnread, func(_ uint32, old *Stream) bool { return old.unread() == 0 })
	if st.unread() > 0 {
		if s.endedUnread == nil {
			s.endedUnread = make(map[uint32]*Stream)
		}
		s.endedUnread[st.id] = st
	}
}

func (s *Session) findStream(id uint32) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[id]
}
