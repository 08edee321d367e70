package join

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/eventloop"
)

// loops are the event loops of an engine, one for every two processors: the
// others are busy with what the kernel does for these, and with all else. On
// two processors a second loop costs more wake-ups than it saves waiting.
type loops struct {
	all  []*loop
	next atomic.Uint32
}

// loop is an event loop, and what has to be checked of its joins: sockets with
// unacknowledged data, and flows that wait for their receivers.
type loop struct {
	*eventloop.Loop
	unacked, waiting *checkList
}

func (l *loops) start(p periods) error {
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		events, err := eventloop.Start()
		if err != nil {
			l.stop()
			return err
		}
		l.all = append(l.all, &loop{events, newCheckList(events, p), newCheckList(events, periods{checkInterval: stallInterval})})
	}
	return nil
}

func (l *loops) stop() {
	for _, loop := range l.all {
		loop.unacked.stop()
		loop.waiting.stop()
		loop.Close()
	}
}

// join joins a and b if they are sockets, or one is and the other is a stream.
// Otherwise it returns nil.
func (l *loops) join(ctx context.Context, s *Set, a, b conn.Conn, prefix int64, done func(Result)) Handle {
	j := &loopJoin{set: s, done: done, began: time.Now()}
	j.flows[A].written = prefix
	sockets := 0
	due := s.engine.crowd.firstDue()
	for side, c := range []conn.Conn{a, b} {
		e := &j.ends[side]
		j.flows[side].feed.due = due
		e.join, e.side, e.conn, e.fd = j, Side(side), c, -1
		switch inner := conn.Innermost(c).(type) {
		case conn.Detachable:
			sockets++
		case conn.Stream:
			e.stream = inner
		default:
			return nil
		}
	}
	if sockets == 0 {
		return nil
	}
	j.loop = l.pick()
	// On the loop's goroutine, or that would be woken for each socket, and wait
	// for the join's lock.
	j.loop.Post(task(func() { j.start(ctx) }))
	return j
}

// pick returns each loop in turn.
func (l *loops) pick() *loop { return l.all[int(l.next.Add(1))%len(l.all)] }

// task is something to do on a loop's goroutine.
type task func()

// Ready does it.
func (t task) Ready(eventloop.Events) (again bool) {
	t()
	return false
}

// AtEnd does it.
func (t task) AtEnd() { t() }
