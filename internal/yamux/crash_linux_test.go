package yamux_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/yamux"
)

// A session may call onWritable from within a call to another stream, whose caller
// holds a lock that the callback's owner wants. So the session ends elsewhere.
func TestPanicOfOnWritable(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	st := peer.open(session, 1)
	socket, user := tcpPair(t)
	st.Attach(func() {}, func() { panic("injected") })
	for sent := 0; sent < window; {
		n, err := user.Write(make([]byte, min(window-sent, 32<<10)))
		check(t, err)
		sent += n
		check(t, socket.Control(func(fd uintptr) {
			for left := n; left > 0; {
				n, _, streamErr, socketErr := st.FillFrom(int(fd))
				if left -= n; streamErr != nil || socketErr != nil && socketErr != unix.EAGAIN {
					t.Errorf("FillFrom returns %v, %v", streamErr, socketErr)
					return
				}
				st.Flush()
			}
		}))
	}
	check(t, socket.Control(func(fd uintptr) {
		if _, _, streamErr, _ := st.FillFrom(int(fd)); streamErr != unix.EAGAIN {
			t.Errorf("FillFrom returns %v without a window, want %v", streamErr, unix.EAGAIN)
		}
	}))
	peer.send(update(1, 0, 1))
	wait(t, session.Done(), "the end of the session")
	session.Close()
	wantCrash(t, "Err", session.Err(), "injected")
}
