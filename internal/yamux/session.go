package yamux

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"sync"
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
	// ErrOverBudget is the error of a stream that was reset because its reader
	// left too much unread while memory was short.
	ErrOverBudget = errors.New("yamux: stream: too much is left unread")
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
	// MaxBuffered bounds the bytes that the session's streams hold for readers
	// who are late. Beyond it the stream that holds most is reset. Zero means
	// 256 MiB, which a thousand streams fill with windows that have not grown.
	MaxBuffered int64
	// Budget does the same for all sessions that have it. Nil is no bound.
	Budget *Budget
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
	buffered   *Budget       // of this session
	peer       peer
	running    sync.WaitGroup
	readerGone chan struct{} // closed when nothing is read any more

	mu      sync.Mutex // guards what follows
	streams map[uint32]*Stream
	unread  map[uint32]*Stream // that have ended, and hold something still
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
	if config.MaxBuffered == 0 {
		config.MaxBuffered = 256 << 20
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
		buffered:   NewBudget(config.MaxBuffered),
		peer:       peer{started: time.Now()},
		readerGone: make(chan struct{}),
		streams:    make(map[uint32]*Stream),
		unread:     make(map[uint32]*Stream),
		nextID:     firstID,
	}
	config.Budget.enter(s)
	s.refuse = sync.OnceFunc(func() { close(s.refusing) })
	s.running.Go(func() {
		defer close(s.readerGone)
		s.end(newReceiver(s).run())
		s.abandonUnaccepted()
	})
	s.running.Go(func() {
		if err := s.out.run(); err != nil {
			s.end(err)
		}
	})
	s.running.Go(s.watchPeer)
	return s
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

// accuse tells the peer that it broke the rules, if it still reads.
func (s *Session) accuse(reason error) {
	timer := time.AfterFunc(accuseWait, func() { s.out.end(reason) })
	defer timer.Stop()
	s.out.control(header{typeGoAway, 0, 0, goAwayProtocol})
	s.out.drain()
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
