package yamux_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/seed96252745/relay/internal/yamux"
)

// Whatever the peer sends, the session handles it without a panic and without blocking,
// answers with valid frames, and can be closed.
func FuzzReceiver(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		f.Add(false, broken[name])
		f.Add(true, broken[name])
	}
	for _, seed := range [][]byte{
		nil,
		encode(update(1, flagACK, 0), data(1, 0, "hello"), update(1, flagFIN, 0)),
		encode(update(2, flagACK, 0), data(2, flagFIN, "hello"), data(2, 0, "")),
		encode(update(1, flagRST, 0), update(2, flagRST, 7), data(1, flagRST, "x")),
		encode(data(1, flagSYN|flagFIN, "echo"), data(2, flagSYN|flagFIN, "echo")),
		encode(data(5, flagSYN, "echo"), update(5, 0, 1<<20), data(5, flagRST, "more")),
		encode(data(4, flagSYN, "echo"), data(4, 0, ""), data(4, flagFIN, "more"), data(4, 0, "")),
		encode(frame{typePing, flagSYN, 0, 1, ""}, frame{typePing, flagACK, 0, 2, ""}, frame{typePing, 0, 1, 3, ""}),
		encode(frame{typeGoAway, 0, 0, 0, ""}, data(1, flagACK, "x"), data(7, flagSYN, "x")),
		encode(protocolError),
		encode(frame{typeGoAway, 0xffff, 9, 2, ""}),
		encode(frame{kind: typeData, stream: 99, length: 1<<32 - 1}),
		encode(frame{kind: typeData, stream: 99, length: 3}, update(1, 0, 0)),
		encode(data(9, 0, "who?"), data(10, flagFIN, ""), update(9, 0, 5)),
		encode(data(1, 0xfff0, "x"), data(2, 0xfff0, "x")),
		encode(data(1, 0, strings.Repeat("x", 9000)))[:5000],
		bytes.Repeat(update(6, flagSYN|flagRST, 0).bytes(), 300),
		manySYN(),
		{0, 0, 0, 0, 0},
	} {
		f.Add(false, seed)
		f.Add(true, seed)
	}
	f.Fuzz(func(t *testing.T, server bool, in []byte) {
		synctest.Test(t, func(t *testing.T) { receive(t, server, in) })
	})
}

// manySYN opens more streams than are accepted.
func manySYN() (b []byte) {
	for i := range uint32(300) {
		b = append(b, update(2+i, flagSYN, 0).bytes()...)
	}
	return b
}

func receive(t *testing.T, server bool, in []byte) {
	before := runtime.NumGoroutine()
	var helpers atomic.Int64
	start := func(f func()) {
		helpers.Add(1)
		go func() {
			defer helpers.Add(-1)
			f()
		}()
	}
	side := yamux.Client
	if server {
		side = yamux.Server
	}
	near, far := memoryPair()
	budget := yamux.NewBudget(100_000)
	session := side(near, yamux.Config{Accept: true, MaxStreams: 16, Budget: budget})
	peer := peer{t, far}
	start(func() { drain(peer) })
	for range 2 {
		st, err := session.Open(t.Context())
		check(t, err)
		start(func() { use(t, st) })
	}
	start(func() {
		for {
			st, err := session.Accept(background)
			if err != nil {
				return
			}
			start(func() { use(t, st) })
		}
	})
	_, _ = far.Write(in) // fails when the session has ended
	synctest.Wait()
	most := 3
	if session.Err() != nil {
		most = 0
	}
	if n := budget.Used(); n > 100_000 {
		t.Errorf("%d bytes are held, and 100,000 may be", n)
	}
	// The quick count is one too high at times; it saves a look at all stacks.
	if n := runtime.NumGoroutine() - before - int(helpers.Load()); n > most {
		if n = sessionGoroutines(); n > most {
			t.Errorf("the session has %d goroutines, want at most %d", n, most)
		}
	}
	_ = far.CloseWrite()
	synctest.Wait()
	if !isClosed(session.Done()) || !isClosed(session.Refusing().Done()) {
		t.Error("the session does not end with its connection")
	}
	wantSessionErr(t, "Err", session.Err())
	session.Close()
	synctest.Wait()
	if n := helpers.Load(); n > 0 {
		t.Errorf("%d users of the session wait for ever", n)
	}
	if n := budget.Used(); n != 0 {
		t.Errorf("%d bytes count as held by nobody", n)
	}
}

// use echoes what comes on a stream, and ends it.
func use(t *testing.T, st *yamux.Stream) {
	ended := make(chan struct{})
	st.OnEnd(func() { close(ended) })
	_, err := io.Copy(st, st)
	if err == nil {
		err = st.Close()
	} else {
		_ = st.Reset()
	}
	if err != nil && !errors.Is(err, yamux.ErrReset) && !errors.Is(err, yamux.ErrSessionEnded) && !errors.Is(err, yamux.ErrOverBudget) {
		t.Errorf("a stream fails with %v", err)
	}
	<-ended
}

// drain reads what the session sends, and checks that it is valid.
func drain(p peer) {
	for {
		f, err := p.receive()
		switch {
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
			return
		case err != nil, f.kind > typeGoAway, f.flags&^0xf != 0, len(f.body) > window,
			(f.kind >= typePing) != (f.stream == 0):
			p.Errorf("the session sends %v, %v", f, err)
			_ = p.conn.Close()
			return
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(uint8(0), uint8(0), uint16(0), uint32(1), uint32(0))
	f.Add(uint8(0), uint8(1), uint16(1), uint32(1<<31), uint32(1<<32-1))
	f.Add(uint8(0), uint8(2), uint16(2), uint32(0), uint32(7))
	f.Add(uint8(0), uint8(3), uint16(0xffff), uint32(0), uint32(1))
	f.Add(uint8(1), uint8(0), uint16(0), uint32(1), uint32(0))
	f.Add(uint8(0), uint8(4), uint16(0), uint32(1), uint32(0))
	f.Add(uint8(0), uint8(1), uint16(0), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, version, kind uint8, flags uint16, stream, length uint32) {
		b := frame{kind: kind, flags: flags, stream: stream, length: length}.bytes()
		b[0] = version
		got, err := yamux.ParseHeader(b)
		valid := version == 0 && kind <= typeGoAway && (kind >= typePing || stream != 0)
		if valid != (err == nil) || err != nil && !errors.Is(err, yamux.ErrProtocol) {
			t.Fatalf("%x: %v", b, err)
		}
		if err != nil {
			return
		}
		if want := (yamux.Header{Kind: kind, Flags: flags, Stream: stream, Length: length}); got != want {
			t.Errorf("%x is %+v, want %+v", b, got, want)
		}
		if again := got.AppendTo(nil); !bytes.Equal(again, b) {
			t.Errorf("%x came back as %x", b, again)
		}
	})
}
