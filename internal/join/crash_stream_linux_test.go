package join_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/yamux"
)

// faultyStream is a stream with a method that panics.
type faultyStream struct {
	*yamux.Stream
	method string
}

func (f faultyStream) at(method string) {
	if f.method == method {
		panic("in " + method)
	}
}

func (f faultyStream) Attach(readable, writable func()) {
	f.at("Attach")
	f.Stream.Attach(readable, writable)
}

func (f faultyStream) PourTo(fd int) (n int, streamErr, socketErr error) {
	f.at("PourTo")
	return f.Stream.PourTo(fd)
}

func (f faultyStream) FillFrom(fd int) (n int, short bool, streamErr, socketErr error) {
	f.at("FillFrom")
	return f.Stream.FillFrom(fd)
}

func (f faultyStream) Flush()            { f.at("Flush"); f.Stream.Flush() }
func (f faultyStream) Failed() error     { f.at("Failed"); return f.Stream.Failed() }
func (f faultyStream) CloseWrite() error { f.at("CloseWrite"); return f.Stream.CloseWrite() }
func (f faultyStream) Close() error      { f.at("Close"); return f.Stream.Close() }

// The session of the stream, and another stream of it, go on.
func TestPanicInAStream(t *testing.T) {
	for _, method := range []string{"Attach", "PourTo", "FillFrom", "Flush", "Failed", "CloseWrite", "Close"} {
		t.Run(method, func(t *testing.T) {
			s, _ := crashRig(t)
			client, server := sessions(t, yamux.Config{})
			beside(t, s, func() {
				stream, peer := openStream(t, client, server)
				near, user := conntest.Pair(t)
				_ = user.SetDeadline(time.Now().Add(patience))
				results := make(chan join.Result, 2)
				s.Join(context.Background(), faultyStream{stream, method}, near, join.Options{}, func(r join.Result) { results <- r })
				_, _ = peer.Write([]byte("hello"))
				_, heard := user.Write([]byte("hello")) // of the reset, perhaps: see provoke
				switch method {
				case "Failed": // it is asked about what comes later
					conntest.Read(t, user, len("hello"))
					_, _ = peer.Write([]byte("hello"))
				case "Close":
					_, _ = user.CloseWrite(), peer.CloseWrite()
				case "CloseWrite":
					_ = user.CloseWrite()
				}
				result := await(t, results)
				wantCrash(t, result.Err, "in "+method)
				if _, err := io.ReadAll(user); err == nil && method != "Close" && !isReset(heard) {
					t.Error("the user sees an end, want a reset")
				}
				if len(results) != 0 {
					t.Error("done was called twice")
				}
			})
			near, far := openStream(t, client, server)
			conntest.Write(t, near, "still here")
			conntest.Read(t, far, len("still here"))
			_, _ = near.Close(), far.Close()
		})
	}
}
