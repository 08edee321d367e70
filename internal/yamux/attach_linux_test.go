package yamux_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/yamux"
)

// Users' bytes arrive unchanged, both ways at once, followed by its end, whatever
// its size.
func TestAttachedBytes(t *testing.T) {
	wantPipes(t)
	client, server := sessions(t)
	testAttachedBytes(t, client, server)
}

func testAttachedBytes(t *testing.T, client, server *yamux.Session) {
	t.Helper()
	for _, size := range []int{
		0, 1, 4095, 4096, 4097, 64<<10 - 1, 64 << 10, 64<<10 + 1,
		256<<10 - 1, 256 << 10, 256<<10 + 1, 5 << 20,
	} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			near, far := attachedPair(t, client, server)
			var running []<-chan error
			for i, a := range []*attached{near, far} {
				said := pattern(byte(30+i), size, size)
				running = append(running, async(a.fill), async(a.pour), async(func() error {
					if _, err := a.user.Write(said); err != nil {
						return err
					}
					return a.user.CloseWrite()
				}))
				to := []*attached{far, near}[i]
				running = append(running, async(func() error {
					heard, err := io.ReadAll(to.user)
					if err == nil && sha256.Sum256(heard) != sha256.Sum256(said) {
						err = fmt.Errorf("%d bytes came, of %d, but not those", len(heard), len(said))
					}
					return err
				}))
			}
			for _, r := range running {
				check(t, wait(t, r, "the end"))
			}
			check(t, near.Close())
			check(t, far.Close())
		})
	}
}

// Frames out of pipes and frames from memory keep their order, and both kinds occur.
func TestAttachedOrder(t *testing.T) {
	wantPipes(t)
	session, peer := newPeer(t, yamux.Server, accepting)
	a := attach(t, peer.accept(session, 1))
	peer.send(update(1, 0, 64<<20))
	filling := async(a.fill)
	said := pattern(32, 0, 8<<20)
	saying := async(func() error {
		for i, rest := 0, said; len(rest) > 0; i++ {
			n := min(len(rest), []int{700 << 10, 1, 64, 5000}[i%4])
			if _, err := a.user.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return a.user.CloseWrite()
	})
	small, large := 0, 0
	var heard []byte
	for {
		f, err := peer.receive()
		check(t, err)
		if f == update(1, flagFIN, 0) {
			break
		}
		if f.kind != typeData || f.flags != 0 || f.stream != 1 || f.length == 0 {
			t.Fatalf("got frame %v", f)
		}
		if f.length > 64<<10 {
			large++
		} else {
			small++
		}
		heard = append(heard, f.body...)
	}
	if !bytes.Equal(heard, said) {
		t.Errorf("%d bytes came, of %d, or others", len(heard), len(said))
	}
	if small == 0 || large == 0 {
		t.Errorf("%d small frames came, and %d large ones; want both", small, large)
	}
	check(t, wait(t, saying, "the user's end"))
	check(t, wait(t, filling, "the end"))
}

// While the peer reads nothing, what waits for it is bounded, none of it is lost, and
// the stream's end comes after it.
func TestAttachedToBlockedSession(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*yamux.Stream) error
		last frame
	}{
		"CloseWrite": {(*yamux.Stream).CloseWrite, update(1, flagFIN, 0)},
		"Close":      {(*yamux.Stream).Close, update(1, flagFIN, 0)},
		"Reset":      {(*yamux.Stream).Reset, update(1, flagRST, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			wantPipes(t)
			session, peer := newPeer(t, yamux.Server, accepting)
			a := attach(t, peer.accept(session, 1))
			peer.send(update(1, 0, 64<<20))
			peer.sync()
			said := pattern(33, 0, 24<<20)
			saying := async(func() error { _, err := a.user.Write(said); return err })
			filled := a.fillUntilFull()
			if filled >= len(said) {
				t.Fatalf("a peer that does not read takes %d bytes", filled)
			}
			select {
			case <-a.writable:
				if n := a.fillUntilFull(); n == 0 {
					t.Error("onWritable is called without space")
				} else {
					filled += n
				}
			default:
			}
			ending := async(func() error { return tt.end(a.Stream) })
			var heard []byte
			for {
				f, err := peer.receive()
				check(t, err)
				if f == tt.last {
					break
				}
				if f.kind != typeData {
					t.Fatalf("got frame %v", f)
				}
				heard = append(heard, f.body...)
			}
			if len(heard) < filled || !bytes.Equal(heard, said[:len(heard)]) {
				t.Errorf("%d bytes came before the end, or others; want the %d that were taken", len(heard), filled)
			}
			check(t, wait(t, ending, name))
			_ = a.user.Reset()
			<-saying
		})
	}
}

// A stream that found no space is notified when there is some, and then everything goes
// on.
func TestAttachedGoesOnWhenPeerReads(t *testing.T) {
	wantPipes(t)
	session, peer := newPeer(t, yamux.Server, accepting)
	var ends []*attached
	for i := range uint32(4) {
		ends = append(ends, attach(t, peer.accept(session, 2*i+1)))
		peer.send(update(2*i+1, 0, 64<<20))
	}
	peer.sync()
	const size = 6 << 20
	filled := make([]int, len(ends))
	var running []<-chan error
	for i, a := range ends {
		running = append(running, async(func() error {
			if _, err := a.user.Write(pattern(byte(40+i), 0, size)); err != nil {
				return err
			}
			return a.user.CloseWrite()
		}))
		filled[i] = a.fillUntilFull()
		running = append(running, async(func() error { <-a.writable; return a.fill() }))
	}
	heard := make([][]byte, len(ends))
	for over := 0; over < len(ends); {
		f, err := peer.receive()
		check(t, err)
		switch {
		case f.kind == typeWindow && f.flags == flagFIN:
			over++
		case f.kind != typeData:
			t.Fatalf("got frame %v", f)
		}
		heard[f.stream/2] = append(heard[f.stream/2], f.body...)
	}
	for i := range ends {
		if !bytes.Equal(heard[i], pattern(byte(40+i), 0, size)) {
			t.Errorf("stream %d: %d bytes came, of %d, or others", i, len(heard[i]), size)
		}
		if filled[i] == size {
			t.Errorf("stream %d did not have to wait", i)
		}
	}
	for _, r := range running {
		check(t, wait(t, r, "the end"))
	}
}
