//go:build !linux

package yamux

import (
	"errors"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/splice"
)

// socket is for systems on which sockets can be tried without waiting.
type socket struct{}

func socketOf(net.Conn) *socket { return nil }

func (*socket) write(*batch) error { return errors.ErrUnsupported }

func (*socket) ackedBytes() (n uint64, ago time.Duration, more bool) { return 0, 0, false }

func (*socket) waitWritable() error { return errors.ErrUnsupported }

func (*socket) read(func() []byte, func()) (int, error) { return 0, errors.ErrUnsupported }

func (*socket) serve(*receiver) (served bool, err error) { return false, nil }

func (*socket) fillPipe(int64) *splice.Pipe { return nil }
