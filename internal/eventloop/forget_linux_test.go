package eventloop_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
)

// readableTogether adds two sockets, and makes them readable in the same batch. The
// loop's goroutine calls readable for each, with a function that forgets and closes the
// other.
func readableTogether(t *testing.T, l *eventloop.Loop, readable func(i int, forgetOther func())) {
	t.Helper()
	var nears, fars [2]*socket
	var places [2]eventloop.Registration
	for i := range nears {
		nears[i], fars[i] = pair(t)
		places[i] = add(t, l, nears[i], handlerFunc(func(e eventloop.Events) bool {
			if e&eventloop.Readable != 0 {
				readable(i, func() {
					l.Forget(places[1-i])
					nears[1-i].close()
				})
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
	release()
	fence(t, l)
}

// Of two sockets with an event in the same batch, the first one's handler forgets the
// other.
func TestForgetInTheSameBatch(t *testing.T) {
	for range 100 {
		l := startLoop(t)
		var told [2]int // used by the loop's goroutine only
		readableTogether(t, l, func(i int, forgetOther func()) {
			told[i]++
			forgetOther()
		})
		onLoop(t, l, func() {
			if told[0]+told[1] != 1 {
				t.Errorf("the handlers were told %v times, want one of them, once", told)
			}
		})
	}
}

// Here a third socket takes the slot of the forgotten one: the event in the batch is
// not its own.
func TestSlotReusedInTheSameBatch(t *testing.T) {
	for range 100 {
		l := startLoop(t)
		third, farThird := pair(t)
		told := newEar()
		replaced := false // used by the loop's goroutine only
		readableTogether(t, l, func(_ int, forgetOther func()) {
			if replaced {
				return
			}
			replaced = true
			forgetOther()
			if _, err := l.Add(third.fd, told); err != nil {
				t.Error(err)
			}
		})
		fence(t, l) // its own event comes with the next batch
		select {
		case e := <-told:
			if e != eventloop.Writable {
				t.Errorf("the third was told %#x, want %#x", e, eventloop.Writable)
			}
		default:
			t.Error("the third was told nothing")
		}
		told.silent(t)
		farThird.write("x")
		told.hear(t, eventloop.Readable)
	}
}

// While another descriptor of a socket is open, the kernel goes on reporting the socket
// after it is forgotten and closed. No handler is called for that, least of all the one
// that has its slot.
func TestEventAfterForget(t *testing.T) {
	for _, tt := range []struct {
		name        string
		closedFirst bool
	}{{"forgotten, then closed", false}, {"closed, then forgotten", true}} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t)
			old, farOld := pair(t)
			second, err := unix.Dup(old.fd)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Close(second) }()
			toldOld, toldNew := newEar(), newEar()
			r := add(t, l, old, toldOld)
			toldOld.hear(t, eventloop.Writable)
			if tt.closedFirst {
				old.close()
				l.Forget(r)
			} else {
				l.Forget(r)
				old.close()
			}
			near, far := pair(t)
			add(t, l, near, toldNew)
			toldNew.hear(t, eventloop.Writable)

			farOld.write("x")
			farOld.closeWrite()
			(&socket{t: t, fd: second}).await(unix.POLLRDHUP)
			fence(t, l)
			toldOld.silent(t)
			toldNew.silent(t)
			far.write("x")
			toldNew.hear(t, eventloop.Readable)
			toldOld.silent(t)
		})
	}
}

// Sockets come and go, one in the slot of another, and each handler gets its own
// events.
func TestSlotsAreReused(t *testing.T) {
	l := startLoop(t)
	for range 100 {
		near, far := pair(t)
		told := newEar()
		r := add(t, l, near, told)
		told.hear(t, eventloop.Writable)
		far.write("x")
		told.hear(t, eventloop.Readable)
		l.Forget(r)
		near.close()
		far.close()
		fence(t, l)
		told.silent(t)
	}
}
