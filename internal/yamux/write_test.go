package yamux_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// A large Write is cut into frames, between which other streams have their turns. No
// frame is larger than the peer's window.
func TestLargeWriteIsCut(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	st := peer.open(session, 1)
	sent := pattern(9, 0, 1<<20)
	writing := async(func() error { _, err := st.Write(sent); return err })
	var got []byte
	for credit := window; len(got) < len(sent); {
		f, err := peer.receive()
		check(t, err)
		if f.kind != typeData || f.flags != 0 || f.length == 0 || f.length > 64<<10 {
			t.Fatalf("got %v, want data, at most 64 KiB at a time", f)
		}
		got = append(got, f.body...)
		if credit -= len(f.body); credit == 0 {
			const more = 100_000
			peer.send(update(1, 0, more))
			credit = more
		} else if credit < 0 {
			t.Fatalf("%d bytes beyond the window", -credit)
		}
	}
	check(t, wait(t, writing, "Write"))
	if !bytes.Equal(got, sent) {
		t.Error("other bytes came than were sent")
	}
}

// Many streams at once, both ways, with pieces of all sizes.
func TestManyStreams(t *testing.T) {
	const count = 64
	client, server := sessions(t)
	var all sync.WaitGroup
	for i := range count {
		from, to := client, server
		if i%2 == 1 {
			from, to = server, client
		}
		a, b := open(t, from, to)
		all.Go(func() { exchange(t, uint64(2*i), a) })
		all.Go(func() { exchange(t, uint64(2*i+1), b) })
	}
	all.Wait()
}

// exchange sends random bytes, in pieces of random sizes, followed by their
// checksum, and expects the same from the other end.
func exchange(t *testing.T, seed uint64, st *yamux.Stream) {
	sending := async(func() error { return sendRandom(seed, st) })
	err := receiveChecked(seed, st)
	if err := errors.Join(err, <-sending, st.Close()); err != nil {
		t.Errorf("stream %d: %v", seed, err)
	}
}

func sendRandom(seed uint64, st *yamux.Stream) error {
	random := rand.New(rand.NewPCG(seed, 0))
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	hash := sha256.New()
	for left := random.IntN(512 << 10); left > 0; {
		b := make([]byte, min(left, 1+random.IntN(1<<random.IntN(19))))
		left -= len(b)
		_, _ = source.Read(b)
		_, _ = hash.Write(b)
		if _, err := st.Write(b); err != nil {
			return err
		}
	}
	if _, err := st.Write(hash.Sum(nil)); err != nil {
		return err
	}
	return st.CloseWrite()
}

func receiveChecked(seed uint64, st *yamux.Stream) error {
	random := rand.New(rand.NewPCG(seed, 1))
	var got []byte
	for {
		b := make([]byte, 1+random.IntN(1<<random.IntN(19)))
		n, err := st.Read(b)
		got = append(got, b[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if len(got) < sha256.Size {
		return fmt.Errorf("only %d bytes", len(got))
	}
	text, sum := got[:len(got)-sha256.Size], got[len(got)-sha256.Size:]
	if want := sha256.Sum256(text); !bytes.Equal(sum, want[:]) {
		return fmt.Errorf("the checksum of %d bytes is wrong", len(text))
	}
	return nil
}

// Concurrent writes to one stream are not mixed, whatever their sizes, as on any
// net.Conn.
func TestConcurrentWritesAreWhole(t *testing.T) {
	a, b := streams(t)
	sizes := []int{1, 100, 4 << 10, 4<<10 + 1, 64 << 10, 200 << 10}
	var writers sync.WaitGroup
	for i, size := range sizes {
		writers.Go(func() {
			for range 10 {
				_, _ = a.Write(bytes.Repeat([]byte{byte(i)}, size))
			}
		})
	}
	closing := async(func() error { writers.Wait(); return a.CloseWrite() })
	got, err := io.ReadAll(b)
	check(t, err)
	check(t, <-closing)
	for len(got) > 0 {
		i := got[0]
		size := sizes[i]
		if len(got) < size || !bytes.Equal(got[:size], bytes.Repeat([]byte{i}, size)) {
			t.Fatalf("a Write of %d bytes was torn", size)
		}
		got = got[size:]
	}
}

// An unread stream blocks its sender at the window, and nobody else.
func TestSlowReaderBlocksOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := memorySessions(t)
		stuck, reader := open(t, client, server)
		written := 0
		writing := async(func() error {
			for {
				n, err := stuck.Write(make([]byte, 1000))
				written += n
				if err != nil {
					return err
				}
			}
		})
		synctest.Wait()
		if written != window/1000*1000 {
			t.Errorf("%d bytes were taken in whole writes of 1000, want as many as fit in %d", written, window)
		}
		for range 3 {
			a, b := open(t, client, server)
			done := async(func() error { _, err := a.Write(pattern(10, 0, 4*window)); return err })
			conntest.WantRead(t, b, pattern(10, 0, 4*window))
			check(t, <-done)
			conntest.Write(t, b, "and back")
			conntest.WantRead(t, a, "and back")
		}
		check(t, stuck.SetWriteDeadline(time.Now()))
		<-writing
		if written != window {
			t.Errorf("%d bytes were sent, want the window, %d", written, window)
		}
		conntest.WantRead(t, reader, make([]byte, window))
	})
}

// Two sides that both send first and read later do not block each other.
func TestBothSendFirst(t *testing.T) {
	client, server := sessions(t)
	var all sync.WaitGroup
	for range 16 {
		a, b := open(t, client, server)
		for _, st := range []*yamux.Stream{a, b} {
			all.Go(func() {
				_, err := st.Write(make([]byte, window))
				if err == nil {
					_, err = io.ReadFull(st, make([]byte, window))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
}
