package throttle_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/throttle"
)

const (
	perSecond = 1_000_000
	burst     = perSecond / 10
	lots      = 3*perSecond + burst // which takes three seconds
)

// wantAbout expects a duration to within a tenth of a second.
func wantAbout(t *testing.T, took, want time.Duration) {
	t.Helper()
	if took < want-100*time.Millisecond || took > want+100*time.Millisecond {
		t.Errorf("it took %v, want %v", took, want)
	}
}

// pair gives a connection that is slowed down, and its far end.
func pair(bytesPerSecond int64) (slow *throttle.Conn, far conn.Conn) {
	near, far := conntest.Memory()
	return throttle.New(near, throttle.NewLimiter(bytesPerSecond)), far
}

func TestRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, far := pair(perSecond)
		sent := bytes.Repeat([]byte("0123456789"), lots/10)
		since := time.Now()
		go func() { _, _ = far.Write(sent); _ = far.CloseWrite() }()
		if got, err := io.ReadAll(slow); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("got %d bytes, %v; want %d", len(got), err, len(sent))
		}
		wantAbout(t, time.Since(since), 3*time.Second)
		_ = slow.Close()
	})
}

func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, far := pair(perSecond)
		sent := bytes.Repeat([]byte("0123456789"), lots/10)
		since := time.Now()
		go func() {
			if n, err := slow.Write(sent); n != len(sent) || err != nil {
				t.Errorf("wrote %d bytes, %v", n, err)
			}
			_ = slow.CloseWrite()
		}()
		if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("got %d bytes, %v; want %d", len(got), err, len(sent))
		}
		wantAbout(t, time.Since(since), 3*time.Second)
		_ = slow.Close()
	})
}

// Connections that share a limiter, and their directions, share what it has.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := throttle.NewLimiter(perSecond)
		since := time.Now()
		var all sync.WaitGroup
		for i := range 4 {
			near, far := conntest.Memory()
			slow := throttle.New(near, limiter)
			from, to := conn.Conn(slow), conn.Conn(far)
			if i%2 == 0 {
				from, to = far, slow
			}
			all.Go(func() { _, _ = from.Write(make([]byte, lots/4)) })
			all.Go(func() { _, _ = io.ReadFull(to, make([]byte, lots/4)) })
			defer slow.Close()
		}
		all.Wait()
		wantAbout(t, time.Since(since), 3*time.Second)
	})
}

// Who waits for so much as a byte a second is freed by the end of its connection.
func TestCloseEndsAWait(t *testing.T) {
	for name, end := range map[string]func(*throttle.Conn) error{"close": (*throttle.Conn).Close, "reset": (*throttle.Conn).Reset} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow, far := pair(1)
				go func() { _, _ = far.Write(make([]byte, 1<<20)) }()
				wrote, read := make(chan error, 1), make(chan error, 1)
				go func() {
					_, err := slow.Write(make([]byte, 1<<20))
					wrote <- err
				}()
				go func() {
					_, err := io.Copy(io.Discard, slow)
					read <- err
				}()
				go func() { _, _ = io.Copy(io.Discard, far) }()
				synctest.Wait()
				since := time.Now()
				if err := end(slow); err != nil {
					t.Error(err)
				}
				for _, c := range []chan error{wrote, read} {
					if err := <-c; !errors.Is(err, net.ErrClosed) {
						t.Errorf("the wait ends with %v, want %v", err, net.ErrClosed)
					}
				}
				if took := time.Since(since); took != 0 {
					t.Errorf("it took %v", took)
				}
				_ = far.Reset()
			})
		})
	}
}

// Nothing is nothing to wait for, also when all is spent; and what is closed takes
// nothing.
func TestEmptyWrite(t *testing.T) {
	near, _ := conntest.Pair(t)
	slow := throttle.New(near, throttle.NewLimiter(1))
	if n, err := slow.Write(make([]byte, 16<<10)); n != 16<<10 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if n, err := slow.Write(nil); n != 0 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	_ = slow.Close()
	if _, err := slow.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end got %v", err)
	}
}

// A limiter that is told another figure has it hold for connections that have it, also
// for what they read more of than may go at once by now.
func TestSetLimiter(t *testing.T) {
	const before, after, sent, atOnce = 1_000_000, 20_000, 100_000, 16 << 10
	synctest.Test(t, func(t *testing.T) {
		near, far := conntest.Memory()
		limiter := throttle.NewLimiter(before)
		slow := throttle.New(near, limiter)
		type result struct {
			n   int
			err error
		}
		read := make(chan result)
		go func() {
			n, err := slow.Read(make([]byte, sent))
			read <- result{n, err}
		}()
		synctest.Wait() // it has asked for as much as went at once
		throttle.SetLimiter(limiter, after)
		since := time.Now()
		go func() { _, _ = far.Write(make([]byte, sent)) }()
		if got := <-read; got.n != sent || got.err != nil {
			t.Errorf("read %d bytes, %v; want %d", got.n, got.err, sent)
		}
		wantAbout(t, time.Since(since), (sent-atOnce)*time.Second/after)
		throttle.SetLimiter(limiter, before)
		since = time.Now()
		go func() { _, _ = far.Write(make([]byte, sent)) }()
		if n, err := io.ReadFull(slow, make([]byte, sent)); n != sent || err != nil {
			t.Errorf("read %d bytes, %v; want %d", n, err, sent)
		}
		wantAbout(t, time.Since(since), sent*time.Second/before)
		_ = slow.Close()
	})
}
