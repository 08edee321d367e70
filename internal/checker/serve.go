package checker

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Banner is after how long a server speaks first, if nothing else is said.
const Banner = 200 * time.Millisecond

// Grace is how long a server that ends leaves to connections that have begun,
// if nothing else is said.
const Grace = 5 * time.Second

// ServeConfig says how the server is.
type ServeConfig struct {
	// Banner is how long the server waits for a user to speak; then it says
	// hello by itself. Zero is const Banner, below zero is not to wait.
	Banner time.Duration
	// Stall is how long a connection may be without progress, from its first
	// byte on; zero is Patience.
	Stall time.Duration
	// Grace is how long connections may go on once the server is to end; zero is
	// const Grace.
	Grace time.Duration
	// Records is where records are written, a line with each Write.
	Records io.Writer
}

// Serve answers users on l until ctx is done and their connections have ended,
// and closes l. Connections on which no user has spoken end with ctx. The
// error is of accepting or of writing records.
func Serve(ctx context.Context, l net.Listener, c ServeConfig) error {
	c.Banner, c.Stall, c.Grace = cmp.Or(c.Banner, Banner), cmp.Or(c.Stall, Patience), cmp.Or(c.Grace, Grace)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	over, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	s := &service{ServeConfig: c, idle: ctx, over: over, records: &recorder{w: c.Records}}
	var users sync.WaitGroup
	accepted := s.accept(l, &users)
	cancel()
	grace := time.AfterFunc(c.Grace, end)
	defer grace.Stop()
	users.Wait()
	return errors.Join(accepted, s.records.failed())
}

type service struct {
	ServeConfig
	idle    context.Context // of connections on which no user has spoken
	over    context.Context // of the others
	records *recorder
}

func (s *service) accept(l net.Listener, users *sync.WaitGroup) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.idle.Err() != nil {
				return nil
			}
			_ = l.Close()
			return err
		}
		users.Go(func() {
			rec := newRecord(Server)
			rec.ServerNonce = newNonce()
			s.serve(newTalk(conn.(*net.TCPConn), rec, s.Stall))
			s.records.write(rec)
		})
	}
}

func (s *service) serve(t *talk) {
	idle := context.AfterFunc(s.idle, t.stop)
	plan, err := s.awaitHeader(t)
	if !idle() && err == nil {
		err = net.ErrClosed
	}
	if err != nil {
		t.rec.ReadEnd = t.end(err)
		if t.rec.ReadEnd == EndFIN && t.rec.Received == 0 {
			// Nobody came, and nobody will: the connection was in a pool.
			t.rec.WriteEnd = t.finish()
		}
		t.close()
		return
	}
	defer context.AfterFunc(s.over, t.stop)()
	t.rec.Plan = plan
	t.begun = HeaderSize
	script := plan.Mode.script()
	t.part, t.echo = script.server, script.echo
	t.want = newStream(plan.Nonce, up)
	t.run(hello(t.rec.ServerNonce, plan.Nonce), newStream(plan.Nonce, down), plan.Down)
}

var errHeader = errors.New(string(EndWrong))

// awaitHeader reads the user's header, and says hello if it takes its time.
func (s *service) awaitHeader(t *talk) (Plan, error) {
	_ = t.conn.SetReadDeadline(time.Now().Add(max(0, s.Banner)))
	b := make([]byte, HeaderSize)
	for n := 0; n < len(b); {
		m, err := t.read(b[n:])
		n += m
		if errors.Is(err, os.ErrDeadlineExceeded) && !t.greet && n == 0 {
			t.greet = true
			err = t.write(hello(t.rec.ServerNonce, Nonce{}))
			_ = t.conn.SetDeadline(time.Time{}) // a pool may keep it for as long as it likes
		}
		if err != nil {
			return Plan{}, err
		}
	}
	plan, err := parseHeader(b)
	if err != nil {
		t.rec.anomaly("%v", err)
		t.rec.Wrong = b[:wrongSize]
		return Plan{}, errHeader
	}
	return plan, nil
}
