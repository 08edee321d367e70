package conformance_test

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Urgent data is bytes among others, in their order, also behind so many that
// the kernel moves them.
func TestUrgentData(t *testing.T) {
	for _, before := range []int64{10, 8 << 20} {
		eachExactPairing(t, func(t *testing.T, p pairingTunnel) {
			user, server := p.pair(t)
			source := newStream(1)
			sent := make(chan error, 1)
			go func() {
				err := send(user, source, before)
				if err == nil {
					err = sendUrgent(user, source)
				}
				if err == nil {
					err = send(user, source, 1000)
				}
				if err == nil {
					err = user.CloseWrite()
				}
				sent <- err
			}()
			must(t, receiveAll(server, newStream(1), before+1+1000))
			must(t, <-sent)
		})
	}
}

// sendUrgent sends the next byte of s with MSG_OOB.
func sendUrgent(conn *net.TCPConn, s *stream) error {
	var b [1]byte
	_, _ = s.Read(b[:])
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	if err := raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendto(int(fd), b[:], unix.MSG_OOB, nil)
		return !errors.Is(sendErr, unix.EAGAIN)
	}); err != nil {
		return err
	}
	return sendErr
}
