package eventloop_test

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
)

// Close waits for a running handler, may be called by several and again, stops handlers
// that always want another turn, and leaves the sockets to their owners.
func TestClose(t *testing.T) {
	for range 20 {
		l := startLoop(t)
		near, far := pair(t)
		told := newEar()
		add(t, l, near, told)
		told.hear(t, eventloop.Writable)

		var left atomic.Bool
		var calls atomic.Int64
		held, release := make(chan struct{}), make(chan struct{})
		l.Post(handlerFunc(func(eventloop.Events) bool {
			if calls.Add(1) == 1 {
				close(held)
				<-release
				left.Store(true)
			}
			return true
		}))
		wait(t, held, "what was posted is not called")
		var closing sync.WaitGroup
		var entered sync.WaitGroup
		entered.Add(2)
		for range 2 {
			closing.Go(func() {
				entered.Done()
				l.Close()
				if !left.Load() {
					t.Error("Close returned while a handler was running")
				}
			})
		}
		entered.Wait()
		close(release)
		closing.Wait()
		l.Close()
		before := calls.Load()

		far.write("x")
		near.await(unix.POLLIN)
		if n, err := near.read(); n != 1 || err != unix.EAGAIN {
			t.Errorf("after Close a socket returns %d bytes, %v", n, err)
		}
		near.write("y")
		told.silent(t)
		if calls.Load() != before {
			t.Error("a handler was called after Close")
		}
	}
}

// AtEnd calls its Ender even if the loop is closed meanwhile.
func TestCloseBeforeEnd(t *testing.T) {
	l := startLoop(t)
	var ended atomic.Bool
	closed := make(chan struct{})
	l.Post(handlerFunc(func(eventloop.Events) bool {
		l.AtEnd(enderFunc(func() { ended.Store(true) }))
		go func() {
			defer close(closed)
			l.Close()
		}()
		for start := time.Now(); ; runtime.Gosched() {
			switch _, err := l.Add(-1, newEar()); {
			case errors.Is(err, net.ErrClosed):
				return true
			case time.Since(start) > patience:
				t.Error("the loop is not closed")
				return false
			}
		}
	}))
	wait(t, closed, "Close does not return")
	if !ended.Load() {
		t.Error("it was not done")
	}
}

// A loop can be closed while others post: late posts are not called.
func TestCloseWhileOthersPost(t *testing.T) {
	for range 50 {
		l := startLoop(t)
		var closed atomic.Bool
		var posting sync.WaitGroup
		started := make(chan struct{}, 4)
		for range 4 {
			posting.Go(func() {
				for i := range 200 {
					if l.Post(handlerFunc(func(eventloop.Events) bool {
						if closed.Load() {
							t.Error("a handler was called after Close")
						}
						return false
					})); i == 0 {
						started <- struct{}{}
					}
				}
			})
		}
		<-started
		l.Close()
		closed.Store(true)
		posting.Wait()
	}
}

// A loop needs descriptors, and releases them.
func TestDescriptors(t *testing.T) {
	descriptors(t) // the first count opens some of the runtime's own
	before := descriptors(t)
	for range 20 {
		l, err := eventloop.Start()
		if err != nil {
			t.Fatal(err)
		}
		if n := descriptors(t) - before; n > 2 {
			t.Errorf("a loop holds %d descriptors", n)
		}
		fence(t, l)
		l.Close()
		if after := descriptors(t); after != before {
			t.Fatalf("%d descriptors are open after Close, and %d were before", after, before)
		}
	}
}

// Without descriptors Start fails, and leaves nothing behind.
func TestStartWithDescriptorsShort(t *testing.T) {
	descriptors(t)
	before := descriptors(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(2) // the next free one, below which all are taken
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	for free := range 2 {
		low := limit
		low.Cur = uint64(fd + free)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
			t.Fatal(err)
		}
		l, err := eventloop.Start()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			l.Close()
			t.Errorf("with %d descriptors left a loop starts", free)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, and %d were before", after, before)
	}
}

// Adding what cannot be watched fails, and takes no slot.
func TestAddFails(t *testing.T) {
	l := startLoop(t)
	for range 3 {
		if _, err := l.Add(-1, newEar()); err == nil {
			t.Error("a descriptor that there is not can be added")
		}
	}
	near, far := pair(t)
	told := newEar()
	add(t, l, near, told)
	if _, err := l.Add(near.fd, newEar()); err == nil {
		t.Error("a socket can be added twice")
	}
	told.hear(t, eventloop.Writable)
	far.write("x")
	told.hear(t, eventloop.Readable)
}
