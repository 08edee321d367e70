//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// period is a prime, so that bytes that went missing or twice in blocks of
	// any usual size are noticed.
	period = 65521
	// chunk is how much is sent, and at most read, at a time.
	chunk = 128 << 10
	// trailerSize is the count of bytes at the end of each stream.
	trailerSize = 8
)

// pattern is the bytes that every stream repeats, each from a place of its own.
// A comparison with it finds any wrong byte, and costs less than checksums at both
// ends.
type pattern struct {
	bytes []byte
	file  *os.File // in memory, with the same bytes; never closed
}

func newPattern() (pattern, error) {
	b := make([]byte, period+chunk)
	random := rand.NewPCG(1, 2)
	for i := range b {
		if i < period {
			b[i] = byte(random.Uint64())
		} else {
			b[i] = b[i-period]
		}
	}
	fd, err := unix.MemfdCreate("pattern", unix.MFD_CLOEXEC)
	if err != nil {
		return pattern{}, fmt.Errorf("a file in memory: %w", err)
	}
	// It can be opened any number of times, each with an offset of its own.
	p := pattern{b, os.NewFile(uintptr(fd), fmt.Sprintf("/proc/self/fd/%d", fd))}
	_, err = p.file.Write(b)
	return p, err
}

// start returns where in the pattern the stream with that seed begins. So the bytes of
// another stream are wrong bytes.
func (p pattern) start(seed uint16) int { return int(seed) * 4099 % period }

// send sends the stream with that seed until stop says so, and then the count
// of its bytes. It uses sendfile, as web servers do: the cost of the sender is not what
// is measured.
func (p pattern) send(w io.Writer, seed uint16, stop func() bool) (sent int64, err error) {
	file, err := os.Open(p.file.Name())
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	at := int64(p.start(seed))
	for !stop() {
		n := int64(0)
		if _, err = file.Seek(at, io.SeekStart); err == nil {
			n, err = io.CopyN(w, file, chunk)
		}
		sent += n
		if err != nil {
			return sent, fmt.Errorf("sending after %d bytes: %w", sent, err)
		}
		at = (at + n) % period
	}
	if _, err := w.Write(binary.BigEndian.AppendUint64(nil, uint64(sent))); err != nil {
		return sent, fmt.Errorf("sending the count: %w", err)
	}
	return sent, nil
}

// receive reads the stream with that seed to its end, and fails unless it is
// complete and every byte is right.
func (p pattern) receive(r io.Reader, seed uint16) (received int64, err error) {
	buf := make([]byte, trailerSize+chunk)
	at, held := p.start(seed), 0
	for {
		n, err := r.Read(buf[held:])
		have := held + n
		// The last bytes that have come may be the count.
		if data := have - trailerSize; data > 0 {
			if !bytes.Equal(buf[:data], p.bytes[at:at+data]) {
				return received, fmt.Errorf("wrong bytes after %d", received)
			}
			received += int64(data)
			at = (at + data) % period
			copy(buf, buf[data:have])
			have = trailerSize
		}
		held = have
		if err == io.EOF {
			return received, checkCount(buf[:held], received)
		}
		if err != nil {
			return received, fmt.Errorf("receiving after %d bytes: %w", received, err)
		}
	}
}

func checkCount(trailer []byte, received int64) error {
	if len(trailer) < trailerSize {
		return errors.New("the stream ended before the count of its bytes")
	}
	if sent := int64(binary.BigEndian.Uint64(trailer)); sent != received {
		return fmt.Errorf("%d bytes were sent, and %d came", sent, received)
	}
	return nil
}

// after returns a stop for send that is true once there have been so many chunks.
func after(chunks uint32) func() bool {
	sent := uint32(0)
	return func() bool { sent++; return sent > chunks }
}

// until returns a stop for send that is true from that time on.
func until(end time.Time) func() bool {
	return func() bool { return !time.Now().Before(end) }
}
