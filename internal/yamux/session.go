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
	// ErrSessionEnded is wrapped by the errors of everything that was under
	// way on a session when it ended, and of what is tried afterwards.
	ErrSessionEnded error = sessionEnded{}
	// ErrReset is the error of a stream that the peer has reset. It is an
	// ECONNRESET, as on TCP.
	ErrReset = fmt.Errorf("yamux: stream: %w", syscall.ECONNRESET)
	// ErrGoneAway is returned by Open when the peer takes no more streams.
	ErrGoneAway = errors.New("yamux: the peer takes no more streams")
	// ErrTooManyStreams is returned by Open at the limit of Config.MaxStreams.
	ErrTooManyStreams = errors.New("yamux: too many streams")
	// ErrOverBudget is the error of a stream that was reset because its reader
	// left too much unread while memory was short.
	ErrOverBudget = errors.New("yamux: stream: too much is left unread")
	// ErrProtocol ends a session whose peer breaks the specification.
	ErrProtocol = errors.New("yamux: protocol error")
	// ErrDead ends a session whose peer does not answer.
	ErrDead = errors.New("yamux: the peer is silent")
)

// sessionEnded can be told from the end of one stream by who does not know yamux.
type sessionEnded struct{}

func (sessionEnded) Error() string { return "yamux: session ended" }

// EndedAll says that all streams have met this error.
func (sessionEnded) EndedAll() {}

// acceptBacklog is how many streams of the peer may wait for Accept: as many as
// peers may have that are not acknowledged, ended ones among them. Further ones are
// reset.
const acceptBacklog = (1 + endedShare) * maxUnacknowledged

// Session is one side of a connection with streams. Its methods may be called
// concurrently.
type Session struct {
	conn   Conn
	config Config
	parity uint32 // of the ids of streams that we open: 1 for the client
	out    *sender

	accepted   chan *Stream    // never closed; nil, for which nothing ever comes, if the peer may open none
	refusing   context.Context // done when the peer takes no more streams
	refuse     context.CancelCauseFunc
	done       chan struct{} // closed when the session has ended
	buffered   *Budget       // of this session
	peer       peer
	watch      watch
	running    sync.WaitGroup
	aborting   sync.Once
	resetting  sync.RWMutex  // read-held while a stream has left and its RST is not queued
	readerGone chan struct{} // closed when nothing is read any more

	unacked unacked

	mu      sync.Mutex // guards what follows
	streams map[uint32]*Stream
	unread  map[uint32]*Stream // that have ended, and hold something still
	nextID  uint32
	tail    tail
	room    room
	goAway  bool         // we take no more streams
	reason  error        // why we are about to end the session, whatever the peer answers
	crash   *crash.Error // which is about to end the session
	err     error        // why the session has ended

	peerNextID uint32 // one more than the largest id of the peer's
}

// Client starts the side with odd stream ids, and Server the other one, on
// conn, which is theirs from here on.
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
		readerGone: make(chan struct{}),
		streams:    make(map[uint32]*Stream),
		unread:     make(map[uint32]*Stream),
		nextID:     firstID,
	}
	s.out = newSender(conn, func() { s.running.Go(s.write) })
	config.Budget.enter(s)
	s.refusing, s.refuse = context.WithCancelCause(context.Background())
	if config.Accept {
		s.accepted = make(chan *Stream, acceptBacklog)
	}
	s.watchPeer()
	s.running.Go(s.read)
	return s
}

func (s *Session) read() {
	defer close(s.readerGone)
	s.end(guarded(newReceiver(s).run))
	err := s.Err()
	s.out.end(err) // whoever ends the session may not have come that far: after this nobody else is running
	s.out.discard(err)
	s.abandonUnaccepted()
}

// write writes what others have left to be written.
func (s *Session) write() {
	if err := guarded(s.out.turn); err != nil {
		s.end(err)
	}
}

// Refusing is done when Open cannot succeed any more: the peer has said so, and
// the cause is ErrGoneAway, or the session has ended, and the cause says why.
func (s *Session) Refusing() context.Context { return s.refusing }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session has ended, and wraps ErrSessionEnded. It is nil
// before.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Retire has Open fail from now on, as though the peer had gone away. Streams that
// are open go on.
func (s *Session) Retire() { s.refuse(ErrGoneAway) }

// GoAway tells the peer that no more streams are taken; what it opens, and what
// nobody has accepted yet, is reset. Streams that are open go on.
func (s *Session) GoAway() {
	s.mu.Lock()
	first := !s.goAway
	s.goAway = true
	s.mu.Unlock()
	if first {
		_ = s.out.ordered(nil, header{typeGoAway, 0, 0, goAwayNormal}) // fails with the session
		s.abandonUnaccepted()
	}
}

// end ends the session for the given reason, unless it has ended already.
func (s *Session) end(reason error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	if s.reason != nil {
		reason = s.reason
	}
	err := sessionError(reason)
	if s.crash != nil && !errors.Is(err, s.crash) {
		err = fmt.Errorf("%w; %w", err, s.crash)
	}
	s.err = err
	s.stopWatchLocked()
	streams := s.streams
	s.streams = nil
	s.mu.Unlock()

	s.config.Counters.ended(err)
	s.refuse(err)
	close(s.done)
	s.out.end(err)
	_ = guarded(s.conn.Close) // whoever is in a read or a write of it comes out
	for _, st := range streams {
		st.sessionEnded(err)
	}
	s.config.Budget.leave(s)
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

// abandonUnaccepted lets go of streams that nobody will accept.
func (s *Session) abandonUnaccepted() {
	for {
		select {
		case st := <-s.accepted:
			_ = st.Reset() // fails if it was reset already
		default:
			return
		}
	}
}

// remove takes a stream out that has ended. As long as it holds something it can
// still be shed.
func (s *Session) remove(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st.id)
	s.unacked.removeLocked(st)
	s.tail.add(st.tail())
	maps.DeleteFunc(s.unread, func(_ uint32, old *Stream) bool { return old.unread() == 0 })
	if st.unread() > 0 {
		s.unread[st.id] = st
	}
}

func (s *Session) find(id uint32) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[id]
}
