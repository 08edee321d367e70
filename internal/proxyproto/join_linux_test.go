package proxyproto_test

import (
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/join"
)

// Event loops serve joins of connections with other addresses, like those of the
// connections themselves: idle ones have no goroutine.
func TestJoinedByEventLoop(t *testing.T) {
	const n = 50
	engine, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	set := engine.NewSet(nil)
	var far [n][2]conn.Conn
	results := make(chan join.Result, n)
	goroutines := runtime.NumGoroutine()
	for i := range far {
		a, farA := behind(t)
		b, farB := behind(t)
		far[i] = [2]conn.Conn{farA, farB}
		set.Join(t.Context(), a, b, join.Options{}, func(r join.Result) { results <- r })
	}
	for i := range far {
		say(t, far[i][0], far[i][1], "ping")
		say(t, far[i][1], far[i][0], "pong")
	}
	if more := runtime.NumGoroutine() - goroutines; more >= n {
		t.Errorf("%d joins at rest have %d goroutines", n, more)
	}
	for i := range far {
		for side := range far[i] {
			if err := far[i][side].CloseWrite(); err != nil {
				t.Error(err)
			}
			if rest, err := io.ReadAll(far[i][1-side]); len(rest) > 0 || err != nil {
				t.Errorf("then %q came, %v", rest, err)
			}
		}
	}
	for range far {
		select {
		case r := <-results:
			if r.Err != nil || r.AToB != 4 || r.BToA != 4 {
				t.Errorf("got %+v", r)
			}
		case <-time.After(patience):
			t.Fatal("a join does not end")
		}
	}
}

func say(t *testing.T, from io.Writer, to io.Reader, word string) {
	t.Helper()
	if _, err := io.WriteString(from, word); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != word {
		t.Fatalf("got %q, %v", got, err)
	}
}
