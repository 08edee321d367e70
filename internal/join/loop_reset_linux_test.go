package join_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// While bytes are held up, only the loop notices that a peer has gone.
func TestLoopResetWhileHeldUp(t *testing.T) {
	t.Parallel()
	bothSides(t, func(t *testing.T, side join.Side) func() {
		var checks []func()
		for _, begin := range []func(*testing.T, join.Side) func(){
			resetHeldUpSender, resetHeldUpSenderBehindWords, resetDeafReceiver, resetOneOfBothHeldUp,
		} {
			checks = append(checks, begin(t, side))
		}
		return func() {
			for _, check := range checks {
				check()
			}
		}
	})
}

// A sender whose bytes are held up by a receiver that does not read resets its
// connection, and nothing goes the other way, so that no call meets the reset.
func resetHeldUpSender(t *testing.T, side join.Side) (check func()) {
	t.Helper()
	r := startRig(t)
	sender, deaf := r.far[side], r.far[other(side)]
	taken := holdUp(t, sender)
	ended := make(chan time.Duration, 1)
	since := time.Now()
	_ = sender.Reset()
	go func() {
		result := <-r.result
		ended <- time.Since(since)
		r.result <- result
	}()
	return func() {
		if took := await(t, ended); took > 5*time.Second {
			t.Errorf("the reset was noticed after %v", took)
		}
		result := r.wait()
		wantFailure(t, result, side)
		if result.Ending() != join.WasReset {
			t.Errorf("it ended as %s", result.Ending())
		}
		if got := wantReset(t, deaf); !bytes.HasPrefix(filled(taken), got) || int64(len(got)) > copiedFrom(result, side) {
			t.Errorf("got %d bytes that are not the beginning of what was sent; %d were counted", len(got), copiedFrom(result, side))
		}
	}
}

// The same after the other direction has moved a few bytes: they arrive before the reset.
func resetHeldUpSenderBehindWords(t *testing.T, side join.Side) (check func()) {
	t.Helper()
	r := startRig(t)
	sender, deaf := r.far[side], r.far[other(side)]
	holdUp(t, sender)
	conntest.Write(t, deaf, "stop")
	conntest.WantRead(t, sender, "stop")
	_ = sender.Reset()
	return func() {
		result := r.wait()
		wantFailure(t, result, side)
		if n := copiedFrom(result, other(side)); n != int64(len("stop")) {
			t.Errorf("counted %d bytes", n)
		}
		wantReset(t, deaf)
	}
}

// A receiver that is slow, but reads, gets every byte that had arrived at the join before
// the reset, though that takes longer than a receiver that does not read would be given.
func TestLoopResetDoesNotOvertakeASlowReceiver(t *testing.T) {
	for _, side := range []join.Side{join.A, join.B} {
		t.Run(name(side), func(t *testing.T) {
			t.Parallel()
			for tries := 5; !resetBehindSlowReceiver(t, side, tries == 1); tries-- {
			}
		})
	}
}

// resetBehindSlowReceiver returns false if the receiver was slower than planned, so that
// what two buffers hold took about the second that a receiver is given that does not read.
// It may do so unless it is the last try.
func resetBehindSlowReceiver(t *testing.T, side join.Side, last bool) (wasSlow bool) {
	t.Helper()
	const (
		n       = 192 << 10
		small   = 8 << 10 // buffers of the receiver, so that its reads show soon
		portion = 4 << 10 // is read at a time
		pause   = 25 * time.Millisecond
		least   = n / portion * pause // more than the second for a receiver that does not read
	)
	r := newRig(t)
	sender, receiver := r.far[side], r.far[other(side)]
	if err := receiver.SetReadBuffer(small); err != nil {
		t.Fatal(err)
	}
	if err := r.near[other(side)].SetWriteBuffer(small); err != nil {
		t.Fatal(err)
	}
	if err := r.near[side].SetReadBuffer(2 * n); err != nil {
		t.Fatal(err)
	}
	r.start(r.near[join.A], r.near[join.B])
	conntest.Write(t, sender, pattern(n))
	awaitArrived(t, sender)
	_ = sender.Reset()
	since := time.Now()
	var got []byte
	var reads []time.Time
	for len(got) < n {
		reads = append(reads, time.Now())
		pass(pause)
		b := make([]byte, portion)
		more, err := receiver.Read(b)
		got = append(got, b[:more]...)
		if err != nil && !last && time.Since(reads[max(0, len(reads)-4*small/portion)]) > 700*time.Millisecond {
			return false
		}
		if err != nil {
			t.Fatalf("after %d of %d bytes and %v: %v", len(got), n, time.Since(since), err)
		}
	}
	if !bytes.Equal(got, pattern(n)) {
		t.Error("the bytes differ")
	}
	if took := time.Since(since); took < least {
		t.Errorf("it took only %v: this shows nothing", took)
	}
	if more := wantReset(t, receiver); len(more) > 0 {
		t.Errorf("%d more bytes came", len(more))
	}
	result := r.wait()
	wantFailure(t, result, side)
	if counted := copiedFrom(result, side); counted != n {
		t.Errorf("counted %d bytes, want %d", counted, n)
	}
	return true
}

// awaitArrived waits until the other kernel end has acknowledged all that was written. The
// kernel does not report that, so it is polled.
func awaitArrived(t *testing.T, conn *transport.Conn) {
	t.Helper()
	fd := descriptor(t, conn)
	defer func() { _ = unix.Close(fd) }()
	for limit := time.Now().Add(patience); queued(t, fd, unix.SIOCOUTQ) > 0; pass(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d bytes do not arrive", queued(t, fd, unix.SIOCOUTQ))
		}
	}
}

// A receiver that has gone is noticed while bytes for it are held up, and its last bytes
// are delivered.
func resetDeafReceiver(t *testing.T, side join.Side) (check func()) {
	t.Helper()
	r := startRig(t)
	deaf, sender := r.far[side], r.far[other(side)]
	holdUp(t, sender)
	conntest.Write(t, deaf, "enough")
	awaitArrived(t, deaf)
	_ = deaf.Reset()
	return func() {
		wantFailure(t, r.wait(), side)
		if got := wantReset(t, sender); string(got) != "enough" {
			t.Errorf("got %q", got)
		}
	}
}

// Both directions are held up, and one peer goes.
func resetOneOfBothHeldUp(t *testing.T, side join.Side) (check func()) {
	t.Helper()
	r := startRig(t)
	holdUp(t, r.far[side])
	taken := holdUp(t, r.far[other(side)])
	_ = r.far[side].Reset()
	return func() {
		result := r.wait()
		wantFailure(t, result, side)
		wantReset(t, r.far[other(side)])
		if counted := copiedFrom(result, other(side)); counted > taken {
			t.Errorf("counted %d bytes of %d", counted, taken)
		}
	}
}

// A sender that has ended, and then resets, takes nothing back: the receiver gets every
// byte, and its answer is what fails.
func TestLoopResetBehindTheEnd(t *testing.T) {
	t.Parallel()
	bothSides(t, func(t *testing.T, side join.Side) func() {
		r := startRig(t)
		client, server := r.far[side], r.far[other(side)]
		conntest.Write(t, client, "request")
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(server); string(got) != "request" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		_ = client.Reset()
		return func() {
			result := r.wait() // although the server does not write
			if result.Ending() != join.WasReset || result.First != side {
				t.Errorf("got %+v", result)
			}
			if _, err := server.Write([]byte("x")); err == nil {
				t.Error("the server can go on writing")
			}
		}
	})
}
