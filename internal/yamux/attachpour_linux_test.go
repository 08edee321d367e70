package yamux_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/yamux"
)

// Bytes for a user who does not read wait, and none of them are lost. The stream's
// end comes after it, and is returned again and again.
func TestPourToBlockedUser(t *testing.T) {
	for name, tt := range map[string]struct {
		end func(peer, *yamux.Session)
		err error
	}{
		"FIN":             {func(p peer, _ *yamux.Session) { p.send(update(1, flagFIN, 0)) }, io.EOF},
		"RST":             {func(p peer, _ *yamux.Session) { p.send(update(1, flagRST, 0)) }, yamux.ErrReset},
		"the session end": {func(_ peer, s *yamux.Session) { s.Close() }, yamux.ErrSessionEnded},
	} {
		t.Run(name, func(t *testing.T) {
			wantPipes(t)
			session, peer := newPeer(t, yamux.Server, accepting)
			a := attach(t, peer.accept(session, 1))
			a.setBuffers(32 << 10)
			said := pattern(35, 0, window)
			sending := async(func() error {
				_, err := peer.conn.Write(encode(
					data(1, 0, string(said[:100_000])), data(1, 0, string(said[100_000:100_001])), data(1, 0, string(said[100_001:]))))
				return err
			})
			check(t, wait(t, sending, "the peer's end"))
			peer.sync()
			if n, err1, err2 := a.tryPour(); n == 0 || n == window || err1 != nil || err2 != unix.EAGAIN {
				t.Fatalf("PourTo returns %d, %v, %v; want %v for the socket", n, err1, err2, unix.EAGAIN)
			}
			if _, err1, err2 := a.tryPour(); err1 != nil || err2 != unix.EAGAIN {
				t.Fatalf("then PourTo returns %v, %v; want %v for the socket", err1, err2, unix.EAGAIN)
			}
			for len(a.readable) > 0 {
				<-a.readable
			}
			tt.end(peer, session)
			wait(t, a.readable, "news of the end")
			pouring := async(func() error {
				for {
					if _, err1, err2 := a.pourOnce(); err1 != nil || err2 != nil {
						_ = a.socket.CloseWrite()
						return errors.Join(err1, err2)
					}
				}
			})
			heard, err := io.ReadAll(a.user)
			check(t, err)
			if !bytes.Equal(heard, said) {
				t.Errorf("%d bytes came, of %d, or others", len(heard), len(said))
			}
			if err := wait(t, pouring, "the end"); !errors.Is(err, tt.err) {
				t.Errorf("PourTo ends with %v, want %v", err, tt.err)
			}
			if n, err1, _ := a.tryPour(); n != 0 || !errors.Is(err1, tt.err) {
				t.Errorf("then it returns %d, %v", n, err1)
			}
			check(t, a.Close())
			if n, err1, _ := a.tryPour(); n != 0 || err1 != net.ErrClosed {
				t.Errorf("after Close it returns %d, %v", n, err1)
			}
		})
	}
}

// A dead socket ends PourTo with an error of the socket.
func TestPourToDeadSocket(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	a := attach(t, peer.accept(session, 1))
	check(t, a.user.Reset())
	for start := time.Now(); ; {
		peer.send(data(1, 0, string(make([]byte, 1000))))
		peer.sync()
		_, err1, err2 := a.tryPour()
		if err1 != nil || time.Since(start) > patience {
			t.Fatalf("PourTo returns %v, %v", err1, err2)
		}
		if err2 != nil && err2 != unix.EAGAIN {
			break
		}
	}
	check(t, a.Reset())
	peer.want(update(1, flagRST, 0))
}

// Users who do not read hold pipes, and do not block the others.
func TestSlowUsers(t *testing.T) {
	wantPipes(t)
	client, server := sessions(t)
	var late []*attached
	for range 8 {
		a, b := openWithoutDeadlines(t, client, server)
		end := attach(t, b)
		end.setBuffers(32 << 10)
		late = append(late, end)
		writing := async(func() error { pump(a); return nil })
		pouring := async(func() error {
			for range end.readable {
				_, _, _ = end.tryPour()
			}
			return nil
		})
		t.Cleanup(func() {
			client.Close()
			server.Close() // nothing arrives any more
			close(end.readable)
			<-writing
			<-pouring
		})
	}
	near, far := attachedPair(t, client, server)
	said := pattern(54, 0, 8<<20)
	running := []<-chan error{async(near.fill), async(far.pour), async(func() error {
		if _, err := near.user.Write(said); err != nil {
			return err
		}
		return near.user.CloseWrite()
	})}
	heard, err := io.ReadAll(far.user)
	check(t, err)
	if !bytes.Equal(heard, said) {
		t.Errorf("%d bytes came, of %d, or others", len(heard), len(said))
	}
	for _, r := range running {
		check(t, wait(t, r, "the end"))
	}
	for _, end := range late {
		check(t, end.Reset())
	}
}
