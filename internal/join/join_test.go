package join_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

// One direction ends and the other goes on for as long as it likes.
func TestHalfClose(t *testing.T) {
	request, answer := pattern(100_000), pattern(1<<20)
	for _, tt := range []struct {
		name            string
		request, answer []byte
	}{{"bytes both ways", request, answer}, {"empty request", nil, answer}, {"empty answer", request, nil}, {"nothing at all", nil, nil}} {
		t.Run(tt.name, func(t *testing.T) {
			forEachSide(t, func(t *testing.T, first join.Side) {
				r := startRig(t)
				client, server := r.far[first], r.far[other(first)]
				conntest.Write(t, client, tt.request)
				if err := client.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(server); err != nil || !bytes.Equal(got, tt.request) {
					t.Fatalf("the request arrived as %d bytes, %v; want %d and the end", len(got), err, len(tt.request))
				}
				answered := make(chan error, 1)
				go func() {
					_, err := server.Write(tt.answer)
					if err == nil {
						err = server.CloseWrite()
					}
					answered <- err
				}()
				if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, tt.answer) {
					t.Fatalf("the answer arrived as %d bytes, %v; want %d and the end", len(got), err, len(tt.answer))
				}
				if err := <-answered; err != nil {
					t.Fatal(err)
				}
				result := r.wait()
				if result.Err != nil || result.First != first {
					t.Errorf("got %+v, want First %s and no error", result, name(first))
				}
				if there, back := copiedFrom(result, first), copiedFrom(result, other(first)); there != int64(len(tt.request)) || back != int64(len(tt.answer)) {
					t.Errorf("counted %d and %d bytes, want %d and %d", there, back, len(tt.request), len(tt.answer))
				}
			})
		})
	}
}

// An end must not overtake the bytes before it, also when both ends close at
// once and neither has read a byte.
func TestCloseDeliversEverything(t *testing.T) {
	sent := pattern(32 << 10)
	for i := range 100 {
		r := startRig(t)
		for _, conn := range r.far {
			conntest.Write(t, conn, sent)
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		for side, conn := range r.far {
			if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("round %d, %s: got %d bytes, %v; want %d and the end", i, name(join.Side(side)), len(got), err, len(sent))
			}
		}
		if result := r.wait(); result.Err != nil {
			t.Fatalf("round %d: %+v", i, result)
		}
	}
}

// Both ends have ended when the join begins, so that each direction ends while
// the other does: what one of them does to a socket must not look to the other as if the
// peer had done it.
func TestBothEndAtOnce(t *testing.T) {
	for i := range 500 {
		r := newRig(t)
		for _, conn := range r.far {
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		r.start(r.near[join.A], r.near[join.B])
		for side, conn := range r.far {
			if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
				t.Fatalf("round %d, %s: got %d bytes, %v; want the end", i, name(join.Side(side)), len(got), err)
			}
		}
		if result := r.wait(); result.Err != nil {
			t.Fatalf("round %d: %+v", i, result)
		}
	}
}

// Both directions are busy at once, and neither may disturb the other.
func TestBothDirectionsAtOnce(t *testing.T) {
	r := startRig(t)
	const size = 8 << 20
	sent := pattern(size)
	type received struct {
		bytes []byte
		err   error
	}
	wrote := make(chan error, 2)
	var got [2]chan received
	for side, conn := range r.far {
		got[side] = make(chan received, 1)
		go func() {
			_, err := conn.Write(sent)
			if err == nil {
				err = conn.CloseWrite()
			}
			wrote <- err
		}()
		go func() {
			b, err := io.ReadAll(conn)
			got[side] <- received{b, err}
		}()
	}
	for side := range got {
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		if g := <-got[side]; g.err != nil || !bytes.Equal(g.bytes, sent) {
			t.Errorf("%s got %d bytes, %v; want %d, the same ones", name(join.Side(side)), len(g.bytes), g.err, size)
		}
	}
	if result := r.wait(); result.Err != nil || result.AToB != size || result.BToA != size {
		t.Errorf("got %+v", result)
	}
}

// A conversation: each side writes when it has read from the other. The join may hold
// nothing back to send it in larger pieces.
func TestPingPong(t *testing.T) {
	forEachSide(t, func(t *testing.T, first join.Side) {
		r := startRig(t)
		for i := range 1000 {
			renew(t, r.far)
			word := fmt.Appendf(nil, "word %d", i)
			from, to := r.far[first], r.far[other(first)]
			if i%2 == 1 {
				from, to = to, from
			}
			conntest.Write(t, from, word)
			if got := conntest.Read(t, to, len(word)); !bytes.Equal(got, word) {
				t.Fatalf("got %q, want %q", got, word)
			}
		}
		for _, conn := range r.far {
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		if result := r.wait(); result.Err != nil {
			t.Errorf("got %+v", result)
		}
	})
}
