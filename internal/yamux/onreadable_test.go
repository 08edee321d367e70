package yamux_test

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"
)

// A reader that is notified gets all bytes from memory, however large the frames are, and
// the end.
func TestOnReadable(t *testing.T) {
	client, server := sessions(t)
	near, far := open(t, client, server)
	readable := make(chan struct{}, 1)
	near.OnReadable(func() {
		select {
		case readable <- struct{}{}:
		default: // it is to be read already
		}
	})
	said := pattern(1, 1<<20, 1<<20)
	written := async(func() error {
		if _, err := far.Write(said); err != nil {
			return err
		}
		return far.CloseWrite()
	})
	heard := async(func() error {
		var got []byte
		b := make([]byte, 10_000)
		for {
			n, err := near.TryRead(b)
			got = append(got, b[:n]...)
			switch {
			case errors.Is(err, syscall.EAGAIN):
				<-readable
			case errors.Is(err, io.EOF):
				if !bytes.Equal(got, said) {
					return errors.New("other bytes have come")
				}
				return nil
			case err != nil:
				return err
			}
		}
	})
	check(t, wait(t, written, "the write"))
	check(t, wait(t, heard, "the end"))
	check(t, near.Close())
	check(t, far.Close())
}
