package yamux_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/yamux"
)

// What users say arrives as it was said, both ways at once, with its end behind
// it, however much it is.
func TestAttachedBytes(t *testing.T) {
	wantPipes(t)
	client, server := sessions(t)
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

// Frames out of pipes and frames from memory keep their order, and there are
// both.
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

// While the peer reads nothing, what waits for it is bounded, nothing of it is
// lost, and how the stream ends comes behind it.
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
			case <-a.roomy:
				if n := a.fillUntilFull(); n == 0 {
					t.Error("there is said to be room, where there is none")
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

// Who was told that there is no room is told when there is, and then all goes
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
		running = append(running, async(func() error { <-a.roomy; return a.fill() }))
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

// Filling stops where the peer's window does, to the byte, and goes on with what
// the peer gives.
func TestFillWindow(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	a := attach(t, peer.accept(session, 1))
	said := pattern(34, 0, 2*window)
	saying := async(func() error { _, err := a.user.Write(said); return err })
	sum, read := 0, 0
	receive := func(n int) {
		t.Helper()
		for want := read + n; read < want; {
			f, err := peer.receive()
			check(t, err)
			if f.kind != typeData || f.body != string(said[read:read+len(f.body)]) {
				t.Fatalf("after %d bytes came %v", read, f)
			}
			read += len(f.body)
		}
	}
	got := async(func() error { receive(window); return nil })
	for sum < window {
		sum += a.fillUntilFull()
		if sum < window {
			wait(t, a.roomy, "room")
		}
	}
	a.Flush()
	wait(t, got, "the window's bytes")
	for _, n := range []int{1, 100, 4097, 50_000, 100_000} {
		for len(a.roomy) > 0 {
			<-a.roomy
		}
		if more, _, streamErr, _ := a.fillOnce(); more != 0 || streamErr != unix.EAGAIN {
			t.Fatalf("FillFrom gives %d, %v, where there is no window", more, streamErr)
		}
		if len(a.roomy) > 0 {
			t.Error("there is said to be room, where there is none")
		}
		peer.send(update(1, 0, uint32(n)))
		wait(t, a.roomy, "room")
		got := async(func() error { receive(n); return nil })
		for sum := 0; sum < n; {
			sum += a.fillUntilFull()
			if sum > n {
				t.Fatalf("%d bytes are sent, where the window is %d", sum, n)
			}
			if a.Flush(); sum < n {
				wait(t, a.roomy, "room")
			}
		}
		wait(t, got, "the window's bytes")
	}
	peer.wantNothing()
	_ = a.user.Reset()
	<-saying
}

// A read that gave less than it could have is told from one that may have left
// some, and the end from an error.
func TestFillShort(t *testing.T) {
	a, b := streams(t)
	end := attach(t, a)
	write(t, end.user, []byte("hello"))
	if n, short, err1, err2 := end.fillOnce(); n != 5 || !short || err1 != nil || err2 != nil {
		t.Errorf("FillFrom gives %d, %v, %v, %v", n, short, err1, err2)
	}
	end.Flush()
	wantRead(t, b, []byte("hello"))
	check(t, end.raw.Control(func(fd uintptr) {
		if n, _, err1, err2 := end.FillFrom(int(fd)); n != 0 || err1 != nil || err2 != unix.EAGAIN {
			t.Errorf("of nothing FillFrom gives %d, %v, %v", n, err1, err2)
		}
	}))
	saying := async(func() error { _, err := end.user.Write(make([]byte, window)); return err })
	reading := async(func() error { _, err := io.CopyN(io.Discard, b, window); return err })
	for sum := 0; sum < window; {
		n, short, err1, err2 := end.fillOnce()
		if sum += n; err1 == unix.EAGAIN {
			wait(t, end.roomy, "room")
		} else if n == 0 && !short || err1 != nil || err2 != nil && err2 != unix.EAGAIN {
			t.Fatalf("FillFrom gives %d, %v, %v, %v", n, short, err1, err2)
		}
	}
	end.Flush()
	check(t, wait(t, saying, "the user's end"))
	check(t, wait(t, reading, "the window's bytes"))
	check(t, end.user.CloseWrite())
	for range 2 {
		if n, _, err1, err2 := end.fillOnce(); n != 0 || err1 != nil || err2 != io.EOF {
			t.Errorf("at the end FillFrom gives %d, %v, %v", n, err1, err2)
		}
	}
	check(t, end.CloseWrite())
	if n, _, err1, _ := end.fillOnce(); n != 0 || !errors.Is(err1, unix.EPIPE) {
		t.Errorf("after CloseWrite FillFrom gives %d, %v", n, err1)
	}
	wantReadErr(t, b, io.EOF)
}

// A user who does not read keeps what comes waiting, of which nothing is lost,
// and what the stream has ended with comes behind it, again and again.
func TestPourToWhoDoesNotRead(t *testing.T) {
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
				t.Fatalf("PourTo gives %d, %v, %v; want %v for the socket", n, err1, err2, unix.EAGAIN)
			}
			if _, err1, err2 := a.tryPour(); err1 != nil || err2 != unix.EAGAIN {
				t.Fatalf("then PourTo gives %v, %v; want %v for the socket", err1, err2, unix.EAGAIN)
			}
			for len(a.arrived) > 0 {
				<-a.arrived
			}
			tt.end(peer, session)
			wait(t, a.arrived, "news of the end")
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
				t.Errorf("then it gives %d, %v", n, err1)
			}
			check(t, a.Close())
			if n, err1, _ := a.tryPour(); n != 0 || err1 != net.ErrClosed {
				t.Errorf("after Close it gives %d, %v", n, err1)
			}
		})
	}
}

// A stream may be ended while it is poured and filled. The other end then sees
// a failure or all, and nothing is kept.
func TestEndWhileAttached(t *testing.T) {
	for name, end := range map[string]func(*attached, *yamux.Session){
		"Close":           func(a *attached, _ *yamux.Session) { _ = a.Close() },
		"Reset":           func(a *attached, _ *yamux.Session) { _ = a.Reset() },
		"the session end": func(_ *attached, s *yamux.Session) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 6 {
				budget := yamux.NewBudget(64 << 20)
				near, far := tcpPair(t)
				config := yamux.Config{Accept: true, Budget: budget}
				client, server := yamux.Client(near, config), yamux.Server(far, config)
				a, b := attachedPair(t, client, server)
				sending := async(func() error { _, _ = b.user.Write(make([]byte, 4<<20)); return nil })
				back := async(func() error { _, _ = a.user.Write(make([]byte, 4<<20)); return nil })
				ends := []<-chan error{async(a.pour), async(a.fill), async(b.pour), async(b.fill)}
				// In the midst of it.
				_, err := io.CopyN(io.Discard, a.user, int64(1+round*100_000))
				check(t, err)
				end(a, client)
				tell(a.arrived)
				tell(a.roomy)
				drained := async(func() error { _, err := io.Copy(io.Discard, a.user); return err })
				for i, ending := range ends {
					if err := wait(t, ending, "the end"); err == nil && i < 2 {
						t.Error("pouring or filling a stream that was ended ends well")
					}
					if i == 0 { // who fills may wait for somebody who waits for us
						_, _ = a.user.Reset(), b.user.Reset()
						client.Close()
						server.Close()
					}
				}
				<-drained
				<-sending
				<-back
				_, _ = a.Close(), b.Close()
				if n := budget.Used(); n != 0 {
					t.Errorf("%d bytes are still counted", n)
				}
				_, _, _, _ = a.socket.Reset(), b.socket.Reset(), near.Reset(), far.Reset()
			}
		})
	}
}

// What came in pipes is given back with the stream that nobody has read.
func TestPipesOfDeadSession(t *testing.T) {
	for name, end := range map[string]func(*attached) error{
		"Close": func(a *attached) error { return a.Close() },
		"Reset": func(a *attached) error { return a.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			wantPipes(t)
			budget := yamux.NewBudget(64 << 20)
			session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, Budget: budget})
			before := freePipes()
			var ends []*attached
			for i := range uint32(8) {
				ends = append(ends, attach(t, peer.accept(session, 2*i+1)))
				peer.send(data(2*i+1, 0, string(make([]byte, window))))
			}
			peer.sync()
			if freePipes() == before {
				t.Error("nothing came in pipes")
			}
			if n := budget.Used(); n != 8*window {
				t.Errorf("%d bytes are counted, want %d", n, 8*window)
			}
			_ = peer.conn.Reset()
			wait(t, session.Done(), "the end of the session")
			for _, a := range ends {
				check(t, end(a))
			}
			if n := budget.Used(); n != 0 {
				t.Errorf("%d bytes are still counted", n)
			}
		})
	}
}

// So is what waits in pipes to be sent, with the session.
func TestQueuedPipesOfDeadSession(t *testing.T) {
	wantPipes(t)
	before := freePipes()
	session, peer := newPeer(t, yamux.Server, accepting)
	var ends []*attached
	for i := range uint32(8) {
		ends = append(ends, attach(t, peer.accept(session, 2*i+1)))
		peer.send(update(2*i+1, 0, 64<<20))
	}
	peer.sync()
	var running []<-chan error
	for _, a := range ends {
		check(t, a.socket.SetReadBuffer(1<<20))
		running = append(running, async(func() error { _, err := io.Copy(a.user, endless{}); return err }))
		for streamErr := error(nil); streamErr == nil; {
			a.awaitQueued(100_000) // so that it is worth a pipe
			_, _, streamErr, _ = a.fillOnce()
		}
	}
	if freePipes() == before {
		t.Error("nothing waits in pipes")
	}
	session.Close()
	for _, a := range ends {
		if _, _, streamErr, _ := a.fillOnce(); !errors.Is(streamErr, yamux.ErrSessionEnded) {
			t.Errorf("then FillFrom gives %v", streamErr)
		}
		_ = a.user.Reset()
	}
	for _, r := range running {
		<-r
	}
}

// A user's socket that is dead ends pouring with an error of the socket's.
func TestPourToDeadSocket(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	a := attach(t, peer.accept(session, 1))
	check(t, a.user.Reset())
	for start := time.Now(); ; {
		peer.send(data(1, 0, string(make([]byte, 1000))))
		peer.sync()
		_, err1, err2 := a.tryPour()
		if err1 != nil || time.Since(start) > patience {
			t.Fatalf("PourTo gives %v, %v", err1, err2)
		}
		if err2 != nil && err2 != unix.EAGAIN {
			break
		}
	}
	check(t, a.Reset())
	peer.want(update(1, flagRST, 0))
}

// Who fills as much as he can has no more than others who do, though what he
// sends goes in larger frames than theirs who write.
func TestAttachedFairShares(t *testing.T) {
	const count = 8
	session, peer := newPeer(t, yamux.Server, accepting)
	var ends []*attached
	for i := range uint32(count) {
		ends = append(ends, attach(t, peer.accept(session, 2*i+1)))
		peer.send(update(2*i+1, 0, 1<<30))
	}
	peer.sync()
	var running []<-chan error
	peer.conn = lateConn{peer.conn} // for which all have to wait
	wantShares(t, peer, count, 96<<20, func() {
		for _, a := range ends {
			running = append(running, async(a.fill), async(func() error {
				_, err := io.Copy(a.user, endless{})
				return err
			}))
		}
	})
	session.Close()
	for _, a := range ends {
		_ = a.user.Reset()
	}
	for _, r := range running {
		wait(t, r, "the end")
	}
}

// lateConn is read late.
type lateConn struct{ resetConn }

func (c lateConn) Read(b []byte) (int, error) {
	if len(b) > 12 {
		<-time.After(time.Millisecond)
	}
	return c.resetConn.Read(b)
}

// endless has always more to say.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// Users who do not read keep pipes, and do not stop the others.
func TestLateUsers(t *testing.T) {
	wantPipes(t)
	client, server := sessions(t)
	var late []*attached
	for range 8 {
		a, b := unhurried(t, client, server)
		end := attach(t, b)
		end.setBuffers(32 << 10)
		late = append(late, end)
		writing := async(func() error { pump(a); return nil })
		pouring := async(func() error {
			for range end.arrived {
				_, _, _ = end.tryPour()
			}
			return nil
		})
		t.Cleanup(func() {
			client.Close()
			server.Close() // nothing arrives any more
			close(end.arrived)
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
