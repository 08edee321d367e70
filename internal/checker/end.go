package checker

import (
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/sockerr"
)

// finish ends the direction out.
func (t *talk) finish() End {
	err := t.conn.CloseWrite()
	switch {
	case err == nil:
		return EndFIN
	case sockerr.Is(err, syscall.ENOTCONN):
		return "" // the connection is gone, and the receiver knows why
	}
	return t.end(err)
}

func (t *talk) ownReset() End {
	t.mu.Lock()
	t.reset = !t.stopped
	t.mu.Unlock()
	t.abort()
	return t.ownEnd()
}

// stop ends the connection because the run is over.
func (t *talk) stop() {
	t.mu.Lock()
	t.stopped = !t.reset
	t.mu.Unlock()
	t.fail()
	t.abort()
}

// abort resets the connection. What is to be received is lost.
func (t *talk) abort() {
	_ = t.conn.SetLinger(0)
	_ = t.conn.Close()
}

// close ends the connection, and completes the record.
func (t *talk) close() {
	// Of a reset Linux tells one system call; if that was a write, reads see a
	// plain end. After a true one, that write would have given EPIPE.
	if t.rec.ReadEnd == EndFIN && t.lost {
		t.rec.ReadEnd = EndReset
	}
	if t.rec.ReadEnd == EndFIN && t.rec.WriteEnd == EndFIN {
		_ = t.conn.SetLinger(-1)
		_ = t.conn.Close()
	} else {
		t.abort()
	}
	t.fail()
	t.rec.SentSHA = hex.EncodeToString(t.sent.Sum(nil))
	t.rec.ReceivedSHA = hex.EncodeToString(t.got.Sum(nil))
	t.rec.End = time.Since(t.rec.Start)
}

// end names an error. Nil has no name.
func (t *talk) end(err error) End {
	if errors.Is(err, net.ErrClosed) {
		return t.ownEnd()
	}
	return endOf(err)
}

func endOf(err error) End {
	var errno syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.Is(err, io.EOF):
		return EndFIN
	case errors.Is(err, os.ErrDeadlineExceeded):
		return EndStalled
	case sockerr.Is(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ENOTCONN):
		return EndReset
	case sockerr.Is(err, syscall.ECONNREFUSED):
		return EndRefused
	case sockerr.Is(err, syscall.ETIMEDOUT):
		return EndTimeout
	case sockerr.Is(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return EndUnreachable
	case errors.As(err, &errno):
		return End(errno.Error())
	}
	return End(err.Error())
}

// ownEnd is how a connection ended that this side has closed.
func (t *talk) ownEnd() End {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.stopped:
		return EndStopped
	case t.reset:
		return EndOwnReset
	}
	return "" // the other direction has failed, and says why
}
