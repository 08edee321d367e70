package join_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// writeUrgent sends b, the last byte of which is urgent.
func writeUrgent(conn *transport.Conn, b []byte) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Send(int(fd), b, unix.MSG_OOB) // of so few bytes it takes all or none
		return sendErr != unix.EAGAIN
	})
	return errors.Join(err, sendErr)
}

// Urgent data in a conversation arrives in its place, at once, and nothing waits
// behind it.
func TestLoopUrgentInConversation(t *testing.T) {
	for _, side := range []join.Side{join.A, join.B} {
		t.Run(name(side), func(t *testing.T) {
			r := startRig(t)
			from, to := r.far[side], r.far[other(side)]
			for i := range 300 {
				renew(t, r.far)
				var sent []byte
				say := func(urgent bool, text string) {
					sent = append(sent, text...)
					if urgent {
						if err := writeUrgent(from, []byte(text)); err != nil {
							t.Fatal(err)
						}
					} else {
						conntest.Write(t, from, []byte(text))
					}
				}
				switch i % 6 {
				case 0:
					say(true, "!")
				case 1:
					say(false, "before")
					say(true, "!")
				case 2:
					say(true, "!")
					say(false, "behind")
				case 3:
					say(false, "before")
					say(true, "several!")
					say(false, "behind")
				case 4:
					say(true, "!")
					say(true, "!")
					say(true, "!")
				case 5:
					say(false, fmt.Sprint(i))
				}
				if got := conntest.Read(t, to, len(sent)); !bytes.Equal(got, sent) {
					t.Fatalf("round %d: got %q, want %q", i, got, sent)
				}
				conntest.Write(t, to, "ok")
				conntest.Read(t, from, len("ok"))
			}
			if err := writeUrgent(from, []byte("bye!")); err != nil {
				t.Fatal(err)
			}
			finishBoth(t, r, side, []byte("bye!"))
		})
	}
}

// Urgent data in the midst of bulk arrives in its place, held up or not.
func TestLoopUrgentInBulk(t *testing.T) {
	t.Parallel()
	const part = 600_001
	for _, side := range []join.Side{join.A, join.B} {
		for _, held := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, held up: %t", name(side), held), func(t *testing.T) {
				r := startRig(t)
				from, to := r.far[side], r.far[other(side)]
				var sent []byte
				if held {
					sent = filled(fill(t, from))
					if err := from.SetWriteDeadline(time.Now().Add(patience)); err != nil {
						t.Fatal(err)
					}
				}
				before := len(sent)
				for i := range 8 {
					sent = append(sent, pattern(part+i)...)
					sent = append(sent, "!"...)
				}
				sent = append(sent, pattern(part)...)
				wrote := make(chan struct{})
				go func() {
					defer close(wrote)
					rest := sent[before:]
					for i := range 8 {
						if _, err := from.Write(rest[:part+i]); err != nil {
							t.Error(err)
							return
						}
						if err := writeUrgent(from, []byte("!")); err != nil {
							t.Error(err)
							return
						}
						rest = rest[part+i+1:]
					}
					if _, err := from.Write(rest); err != nil {
						t.Error(err)
					}
				}()
				if got := conntest.Read(t, to, len(sent)); !bytes.Equal(got, sent) {
					t.Error("the bytes differ")
				}
				<-wrote
				finishBoth(t, r, side, nil)
			})
		}
	}
}

// finishBoth ends both directions, and expects the rest from side.
func finishBoth(t *testing.T, r *rig, side join.Side, rest []byte) {
	t.Helper()
	for _, conn := range r.far {
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := io.ReadAll(r.far[other(side)]); !bytes.Equal(got, rest) || err != nil {
		t.Errorf("got %q, %v; want %q and the end", got, err, rest)
	}
	if result := r.wait(); result.Err != nil {
		t.Errorf("got %+v", result)
	}
}
