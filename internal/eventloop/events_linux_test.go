package eventloop_test

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
)

// happenings are what a peer may do, how poll(2) shows that it has arrived, and what
// the loop reports.
var peerActions = []struct {
	name   string
	do     func(far *socket)
	polled int16
	want   eventloop.Events
	not    eventloop.Events
}{
	{
		"nothing", func(*socket) {}, unix.POLLOUT, eventloop.Writable,
		eventloop.Readable | eventloop.Urgent | eventloop.PeerEnded | eventloop.Dead,
	},
	{
		"bytes", func(far *socket) { far.write("hello") }, unix.POLLIN, eventloop.Readable,
		eventloop.Urgent | eventloop.PeerEnded | eventloop.Dead,
	},
	{
		"an end", (*socket).closeWrite, unix.POLLRDHUP, eventloop.Readable | eventloop.PeerEnded,
		eventloop.Urgent | eventloop.Dead,
	},
	{
		"an end behind bytes", func(far *socket) { far.write("hello"); far.closeWrite() }, unix.POLLRDHUP,
		eventloop.Readable | eventloop.PeerEnded, eventloop.Urgent | eventloop.Dead,
	},
	{
		"a closed connection", (*socket).close, unix.POLLRDHUP, eventloop.Readable | eventloop.PeerEnded,
		eventloop.Urgent | eventloop.Dead,
	},
	{
		"a reset", (*socket).reset, unix.POLLERR | unix.POLLHUP, eventloop.Dead,
		eventloop.Urgent,
	},
	{
		"a reset behind bytes", func(far *socket) { far.write("hello"); far.reset() }, unix.POLLERR | unix.POLLHUP,
		eventloop.Readable | eventloop.Dead, eventloop.Urgent,
	},
	{
		"urgent data", func(far *socket) { far.writeUrgent("!") }, unix.POLLPRI, eventloop.Urgent,
		eventloop.PeerEnded | eventloop.Dead,
	},
	{
		"urgent data behind other", func(far *socket) { far.write("hello"); far.writeUrgent("!") }, unix.POLLPRI,
		eventloop.Readable | eventloop.Urgent, eventloop.PeerEnded | eventloop.Dead,
	},
}

// Events that hold when a socket is added are reported, all at once.
func TestEventsBeforeAdd(t *testing.T) {
	for _, tt := range peerActions {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t)
			near, far := pair(t)
			tt.do(far)
			near.await(tt.polled)
			told := newEar()
			add(t, l, near, told)
			fence(t, l)
			var got eventloop.Events
			select {
			case got = <-told:
			default:
				t.Fatal("nothing was reported")
			}
			if !all(got, tt.want) || got&tt.not != 0 {
				t.Errorf("the loop reported %#x, want %#x and not %#x", got, tt.want, tt.not)
			}
			told.silent(t)
		})
	}
}

// Later events are reported when they come, even if nobody has read what came before.
func TestEventsAfterAdd(t *testing.T) {
	for _, tt := range peerActions {
		for _, unread := range []string{"", "nobody reads this"} {
			t.Run(tt.name+map[bool]string{true: ", after others"}[unread != ""], func(t *testing.T) {
				l := startLoop(t)
				near, far := pair(t)
				told := newEar()
				add(t, l, near, told)
				told.hear(t, eventloop.Writable)
				if unread != "" {
					far.write(unread)
					told.hear(t, eventloop.Readable)
				}
				tt.do(far)
				if tt.want != eventloop.Writable {
					told.hear(t, tt.want)
				}
				fence(t, l)
				for len(told) > 0 {
					if got := <-told; got&tt.not != 0 {
						t.Errorf("the loop reported %#x, want not %#x", got, tt.not)
					}
				}
			})
		}
	}
}

// After the end of both sides the connection is dead, but not failed.
func TestBothHaveEnded(t *testing.T) {
	l := startLoop(t)
	near, far := pair(t)
	told := newEar()
	add(t, l, near, told)
	told.hear(t, eventloop.Writable)
	near.closeWrite()
	far.closeWrite()
	told.hear(t, eventloop.PeerEnded|eventloop.Dead)
}

// An event is reported once, and not again for unread bytes.
func TestEdgeTriggered(t *testing.T) {
	l := startLoop(t)
	near, far := pair(t)
	told := newEar()
	add(t, l, near, told)
	told.hear(t, eventloop.Writable)
	for range 100 {
		far.write("unread")
		told.hear(t, eventloop.Readable)
		for range 3 {
			fence(t, l)
		}
		told.silent(t)
	}
	far.closeWrite()
	told.hear(t, eventloop.PeerEnded)
	for range 3 {
		fence(t, l)
	}
	told.silent(t)
}

// A sender that has filled the socket's buffer is notified when there is space, as
// often as that happens.
func TestWritableAgain(t *testing.T) {
	const buffers, size = 16 << 10, 4 << 20
	l := startLoop(t)
	near, far := pairWith(t, buffers)
	var sent, waits int // used by the loop's goroutine only
	ended := false
	add(t, l, near, handlerFunc(func(e eventloop.Events) bool {
		if e&eventloop.Writable == 0 {
			return false
		}
		for sent < size {
			n, err := unix.Write(near.fd, make([]byte, min(64<<10, size-sent)))
			if err == unix.EAGAIN {
				waits++
				return false
			}
			if err != nil {
				t.Errorf("after %d bytes: %v", sent, err)
				return false
			}
			sent += n
		}
		if !ended {
			ended = true
			near.closeWrite()
		}
		return false
	}))
	fence(t, l)
	onLoop(t, l, func() {
		if sent == 0 || sent == size {
			t.Errorf("%d of %d bytes were taken while nobody read", sent, size)
		}
	})
	if n, err := far.read(); n != size || err != nil {
		t.Errorf("got %d bytes, %v; want %d and the end", n, err, size)
	}
	onLoop(t, l, func() {
		if waits == 0 {
			t.Error("the buffer was never full")
		}
	})
	l.Close() // its handler uses the socket
}

// The handlers of many sockets are called, each once for what came to its own.
func TestManySockets(t *testing.T) {
	const pairs = 2000
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if need := uint64(2*pairs + 100); limit.Cur < need {
		t.Skipf("%d pairs of sockets need %d descriptors, and RLIMIT_NOFILE allows %d", pairs, need, limit.Cur)
	}
	l := startLoop(t)
	type count struct{ calls, readable, bytes int }
	counts := make([]count, pairs) // used by the loop's goroutine only
	var wasAdded, wasTold atomic.Int32
	added, told := make(chan struct{}), make(chan struct{})
	far := make([]*socket, pairs)
	for i := range pairs {
		near, peer := pair(t)
		far[i] = peer
		add(t, l, near, handlerFunc(func(e eventloop.Events) bool {
			c := &counts[i]
			if c.calls++; c.calls == 1 {
				if wasAdded.Add(1) == pairs {
					close(added)
				}
			}
			if e&eventloop.Readable != 0 {
				c.readable++
				n, _ := near.read()
				c.bytes += n
				if wasTold.Add(1) == pairs {
					close(told)
				}
			}
			return false
		}))
	}
	wait(t, added, "not all handlers were called with what held before Add")
	for _, s := range far {
		s.write("x")
	}
	wait(t, told, "not all were told of the byte that came")
	fence(t, l)
	onLoop(t, l, func() {
		for i, c := range counts {
			if want := (count{2, 1, 1}); c != want {
				t.Errorf("socket %d: got %+v, want %+v", i, c, want)
			}
		}
	})
	l.Close() // its handlers use the sockets
}
