package yamux_test

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// Frames that are unusual but allowed. The peer of a client session sends them that has
// opened stream 1, not acknowledged, and accepts others.
func TestUnusualFrames(t *testing.T) {
	for name, tt := range map[string]struct {
		send   []frame
		answer []frame
		text   string // then read from stream 1
		err    error  // after the text; nil if nothing comes
	}{
		"zero-length data":        {[]frame{data(1, 0, ""), data(1, flagACK, ""), data(1, 0, "x")}, nil, "x", nil},
		"zero-length after FIN":   {[]frame{data(1, flagFIN, "x"), data(1, 0, ""), data(1, flagFIN, "")}, nil, "x", io.EOF},
		"window grows by nothing": {[]frame{update(1, flagACK, 0), update(1, 0, 0), data(1, 0, "x")}, nil, "x", nil},
		"FIN, ACK and data":       {[]frame{data(1, flagFIN|flagACK, "all")}, nil, "all", io.EOF},
		"FIN twice":               {[]frame{data(1, flagFIN, "all"), update(1, flagFIN, 0)}, nil, "all", io.EOF},
		"ACK twice":               {[]frame{update(1, flagACK, 0), data(1, flagACK, "x")}, nil, "x", nil},
		"RST without ACK":         {[]frame{update(1, flagRST, 0)}, nil, "", yamux.ErrReset},
		"RST with ACK":            {[]frame{update(1, flagACK|flagRST, 0)}, nil, "", yamux.ErrReset},
		"RST with an error code":  {[]frame{update(1, flagRST, 1<<32-1)}, nil, "", yamux.ErrReset},
		"RST behind data":         {[]frame{data(1, 0, "some"), update(1, flagRST, 0)}, nil, "some", yamux.ErrReset},
		"RST in a data frame":     {[]frame{data(1, flagRST, "")}, nil, "", yamux.ErrReset},
		"RST in a frame of data":  {[]frame{data(1, flagRST|flagACK, "some")}, nil, "some", yamux.ErrReset},
		"RST and FIN":             {[]frame{data(1, flagRST|flagFIN, "some")}, nil, "some", yamux.ErrReset},
		"RST twice":               {[]frame{update(1, flagRST, 0), update(1, flagRST, 0)}, nil, "", yamux.ErrReset},
		"data behind RST": {
			[]frame{update(1, flagRST, 0), data(1, 0, "x")}, nil, "", yamux.ErrReset,
		},
		"unknown flags":          {[]frame{data(1, 0xfff0, "x"), data(1, 0, "y")}, nil, "xy", nil},
		"a full window":          {[]frame{data(1, 0, string(pattern(0, 0, window)))}, nil, string(pattern(0, 0, window)), nil},
		"no stream's data":       {[]frame{data(7, 0, "who?")}, []frame{update(7, flagRST, 0)}, "", nil},
		"no stream's empty data": {[]frame{data(8, flagFIN, "")}, []frame{update(8, flagRST, 0)}, "", nil},
		"no stream's RST":        {[]frame{update(7, flagRST, 0), data(8, flagRST, "x")}, nil, "", nil},
		"no stream's window":     {[]frame{update(7, 0, 1<<32-1), update(8, flagACK, 0), update(9, flagFIN, 0)}, nil, "", nil},
		"an answer to no ping":   {[]frame{{typePing, flagACK, 0, 77, ""}, {typePing, 0, 0, 77, ""}}, nil, "", nil},
		"a ping with a stream": {
			[]frame{{typePing, flagSYN, 1, 77, ""}}, []frame{{typePing, flagACK, 0, 77, ""}}, "", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, yamux.Client, accepting)
			st, err := session.Open(t.Context())
			check(t, err)
			peer.want(update(1, flagSYN, 0))
			peer.send(tt.send...)
			peer.want(tt.answer...)
			peer.wantNothing()
			conntest.WantRead(t, st, []byte(tt.text))
			if tt.err == nil {
				check(t, st.SetReadDeadline(time.Now().Add(time.Millisecond)))
				tt.err = os.ErrDeadlineExceeded
			}
			wantReadErr(t, st, tt.err)
			peer.sync()
			if session.Err() != nil {
				t.Errorf("the session has ended: %v", session.Err())
			}
			peer.accept(session, 2) // is served as before
		})
	}
}

// Streams that the peer opens in unusual ways.
func TestUnusualStreams(t *testing.T) {
	for name, tt := range map[string]struct {
		send []frame
		text string
		err  error
	}{
		"with data":            {[]frame{data(2, flagSYN, "hello")}, "hello", nil},
		"with data and FIN":    {[]frame{data(2, flagSYN|flagFIN, "hello")}, "hello", io.EOF},
		"with data and RST":    {[]frame{data(2, flagSYN|flagRST, "hello")}, "hello", yamux.ErrReset},
		"with FIN":             {[]frame{update(2, flagSYN|flagFIN, 0)}, "", io.EOF},
		"with ACK":             {[]frame{update(2, flagSYN|flagACK, 0), data(2, 0, "x")}, "x", nil},
		"with an empty frame":  {[]frame{data(2, flagSYN, ""), data(2, 0, "x")}, "x", nil},
		"with the largest id":  {[]frame{data(1<<32-2, flagSYN, "x")}, "x", nil},
		"data before Accept":   {[]frame{update(2, flagSYN, 0), data(2, 0, string(pattern(1, 0, window)))}, string(pattern(1, 0, window)), nil},
		"after one that ended": {[]frame{update(2, flagSYN|flagRST, 0), data(2, flagSYN, "x")}, "", yamux.ErrReset},
	} {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, yamux.Client, accepting)
			peer.send(tt.send...)
			st, err := session.Accept(background)
			check(t, err)
			peer.want(update(tt.send[0].stream, flagACK, 0))
			peer.sync()
			conntest.WantRead(t, st, []byte(tt.text))
			if tt.err != nil {
				wantReadErr(t, st, tt.err)
			}
		})
	}
}

// A stream may be opened with a larger window.
func TestStreamOpenedWithLargerWindow(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, accepting)
	peer.send(update(2, flagSYN, 100))
	st, err := session.Accept(background)
	check(t, err)
	peer.want(update(2, flagACK, 0))
	writing := async(func() error { _, err := st.Write(make([]byte, window+100)); return err })
	for n := 0; n < window+100; {
		f, err := peer.receive()
		check(t, err)
		n += len(f.body)
	}
	check(t, wait(t, writing, "Write"))
}

// It does not matter where the network cuts frames.
func TestOneByteAtATime(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	sent := pattern(12, 0, 1000)
	script := encode(
		update(1, flagSYN, 0),
		data(1, 0, string(sent[:400])),
		frame{typePing, flagSYN, 0, 5, ""},
		data(1, 0, ""),
		data(3, flagSYN|flagFIN, "hello"),
		data(1, flagFIN, string(sent[400:])),
		data(9, 0, "who?"),
	)
	for _, b := range script {
		peer.sendBytes([]byte{b})
	}
	a, err := session.Accept(background)
	check(t, err)
	b, err := session.Accept(background)
	check(t, err)
	if got, err := io.ReadAll(a); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes, %v; want the %d that were sent", len(got), err, len(sent))
	}
	if got, err := io.ReadAll(b); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	want := map[frame]bool{
		update(1, flagACK, 0): true, update(3, flagACK, 0): true,
		update(9, flagRST, 0): true, {typePing, flagACK, 0, 5, ""}: true,
	}
	for _, f := range peer.sync() {
		if !want[f] {
			t.Errorf("got frame %v", f)
		}
		delete(want, f)
	}
	if len(want) > 0 {
		t.Errorf("frames %v did not come", want)
	}
}
