package join_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

// Bytes in flight to a TLS peer arrive before a reset does.
func TestTLSIsDeliveredBeforeAReset(t *testing.T) {
	nearTLS, secure := tlsPair(t)
	near, plain := conntest.Pair(t)
	_ = secure.SetDeadline(time.Now().Add(patience))
	failing := &failsAfter{Conn: near, failed: make(chan struct{})}
	result := make(chan join.Result, 1)
	go func() { result <- join.CopyJoin(context.Background(), nearTLS, failing, join.Options{}) }()
	said := pattern(180_000) // more than the peer's kernel takes unread, and less than ours takes in addition
	go func() { _, _ = plain.Write(said); _ = plain.CloseWrite() }()
	<-failing.failed
	got, err := io.ReadAll(secure)
	if !bytes.Equal(got, said) || err == nil {
		t.Errorf("got %d bytes of %d, and then %v", len(got), len(said), err)
	}
	await(t, result)
}

// failsAfter fails where its peer has ended.
type failsAfter struct {
	conn.Conn
	failed chan struct{}
}

func (f *failsAfter) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if err == io.EOF {
		close(f.failed)
		err = errors.New("failed")
	}
	return n, err
}
