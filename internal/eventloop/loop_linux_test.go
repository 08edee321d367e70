package eventloop_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
)

// A handler that wants another turn is called again, without events, after the others.
func TestAgain(t *testing.T) {
	l := startLoop(t)
	var order []string // used by the loop's goroutine only
	done := make(chan struct{})
	named := func(name string, turns int) eventloop.Handler {
		return handlerFunc(func(e eventloop.Events) bool {
			if e&^eventloop.Posted != 0 {
				t.Errorf("%s was told %#x", name, e)
			}
			order = append(order, name)
			turns--
			if name == "a" && turns == 0 {
				close(done)
			}
			return turns > 0
		})
	}
	onLoop(t, l, func() { // so that all are called in the same turn
		l.Post(named("a", 4))
		l.Post(named("b", 2))
		l.Post(named("c", 1))
	})
	wait(t, done, "the last turn does not come")
	fence(t, l)
	onLoop(t, l, func() {
		if want := []string{"a", "b", "c", "a", "b", "a", "a"}; !slices.Equal(order, want) {
			t.Errorf("the turns were %v, want %v", order, want)
		}
	})
}

// A handler that always wants another turn starves nothing: neither sockets, nor posts,
// nor another such handler.
func TestBusyHandlerStarvesNothing(t *testing.T) {
	l := startLoop(t)
	var idle atomic.Bool // tells the busy ones to stop
	t.Cleanup(func() { idle.Store(true) })
	var turns [2]atomic.Int64
	for i := range turns {
		near, _ := pair(t)
		add(t, l, near, handlerFunc(func(eventloop.Events) bool {
			turns[i].Add(1)
			return !idle.Load()
		}))
	}
	near, far := pair(t)
	told := newEar()
	add(t, l, near, told)
	told.hear(t, eventloop.Writable)
	for range 50 {
		before := [2]int64{turns[0].Load(), turns[1].Load()}
		far.write("x")
		told.hear(t, eventloop.Readable)
		fence(t, l)
		fence(t, l)
		for i := range turns {
			if turns[i].Load() == before[i] {
				t.Errorf("busy handler %d had no turn", i)
			}
		}
	}
	far.closeWrite()
	told.hear(t, eventloop.PeerEnded)
}

// Each post wakes the loop, from any goroutine.
func TestPostWakesTheLoop(t *testing.T) {
	const posters, posts = 8, 500
	l := startLoop(t)
	for range 1000 { // one after the other, so that each finds the loop waiting
		fence(t, l)
	}
	var calls [posters]int // used by the loop's goroutine only
	var posting sync.WaitGroup
	for i := range posters {
		posting.Go(func() {
			for range posts {
				l.Post(handlerFunc(func(e eventloop.Events) bool {
					if e != eventloop.Posted {
						t.Errorf("was told %#x", e)
					}
					calls[i]++
					return false
				}))
			}
		})
	}
	posting.Wait()
	onLoop(t, l, func() {
		for i, n := range calls {
			if n != posts {
				t.Errorf("of %d posts of goroutine %d, %d were called", posts, i, n)
			}
		}
	})
}

// A handler may post, even itself, and the post needs no other event to be called.
func TestPostByHandler(t *testing.T) {
	l := startLoop(t)
	done := make(chan struct{})
	left := 1000
	var h handlerFunc
	h = func(eventloop.Events) bool {
		if left--; left == 0 {
			close(done)
		} else {
			l.Post(h)
		}
		return false
	}
	l.Post(h)
	wait(t, done, "what a handler posted is not called")
}

// A socket's handler posts, and a posted handler adds a socket.
func TestHandlersMayAddAndPost(t *testing.T) {
	l := startLoop(t)
	near, far := pair(t)
	second, _ := pair(t)
	told := newEar()
	posted := false
	add(t, l, near, handlerFunc(func(e eventloop.Events) bool {
		// Bytes that come while the loop handles the socket are reported twice.
		if e&eventloop.Readable != 0 && !posted {
			posted = true
			l.Post(handlerFunc(func(eventloop.Events) bool {
				if _, err := l.Add(second.fd, told); err != nil {
					t.Error(err)
				}
				return false
			}))
		}
		return false
	}))
	far.write("x")
	told.hear(t, eventloop.Writable)
	l.Close() // it would report the close of the sockets
}

// Enders are called after all handlers of a turn, in order, and once.
func TestAtEnd(t *testing.T) {
	l := startLoop(t)
	var order []string // used by the loop's goroutine only
	say := func(what string) enderFunc {
		return func() { order = append(order, what) }
	}
	var nears, fars [2]*socket
	for i := range nears {
		nears[i], fars[i] = pair(t)
		add(t, l, nears[i], handlerFunc(func(e eventloop.Events) bool {
			if e&eventloop.Readable != 0 {
				say("event")()
				l.AtEnd(say("end of event"))
				l.AtEnd(say("second end of event"))
			}
			return false
		}))
	}
	fence(t, l)
	release := hold(t, l)
	for i := range fars {
		fars[i].write("x")
		nears[i].await(unix.POLLIN)
	}
	turns := 2
	l.Post(handlerFunc(func(eventloop.Events) bool {
		say("post")()
		l.AtEnd(say("end of post"))
		turns--
		return turns > 0
	}))
	release()
	fence(t, l)
	fence(t, l)
	onLoop(t, l, func() {
		want := []string{
			"event", "event", "post",
			"end of event", "second end of event", "end of event", "second end of event", "end of post",
			"post", "end of post",
		}
		if !slices.Equal(order, want) {
			t.Errorf("the order was %q, want %q", order, want)
		}
	})
}
