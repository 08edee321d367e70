//go:build lab && linux

package lab_test

import (
	be "encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/checker"
)

// A relay client stands on a yamux that cannot half-close.
func TestRow31OldYamux(t *testing.T) {
	t.Run("row31_old-yamux/multiplex", func(t *testing.T) {
		client := filepath.Join(t.TempDir(), "client")
		build := exec.Command("go", "build", "-o", client, ".")
		build.Dir = "../../interop/go/hashicorp-v0.1.1"
		build.Env = append(build.Environ(), "GOWORK=off")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the client: %v\n%s", err, out)
		}
		p := newLocalPlay(t)
		relay, addr := localRelay(t)
		host, port, _ := net.SplitHostPort(addr)
		localHost, localPort, _ := net.SplitHostPort(p.local)
		old := localStart(t, client, host, port, localHost, localPort)
		public := ""
		old.line(0, "its port", func(line string) bool {
			public = net.JoinHostPort(host, line)
			return true
		})
		// In the others the server ends first, and this client lets nothing of the
		// user through after that; and it cannot reset.
		const modes = "--modes=echo,upload,half-close,idle,trickle"
		p.used(public, "--users=10", "--parallel=5", modes, "--up=10000", "--down=10000", "--seed=1")
		before := relay.state()
		p.used(public, fmt.Sprintf("--users=%d", shortOr(300, 3000)), "--parallel=50", modes, "--up=100000", "--down=100000", "--seed=2")
		var after localState
		var leaks []checker.Violation
		for late := time.Now().Add(10 * time.Second); ; rawWait(200 * time.Millisecond) {
			after = relay.state()
			leaks = checker.Leaks("relay", before.Figures, after.Figures)
			if after.Users == 0 && len(leaks) == 0 || time.Now().After(late) {
				break
			}
		}
		if after.Users != 0 {
			t.Errorf("%d users are left", after.Users)
		}
		for _, leak := range leaks {
			t.Error(leak)
		}
		s := p.verify(checker.Rules{})
		record(t, "31", "yamux client that cannot half-close", "hashicorp/yamux v0.1.1",
			fmt.Sprintf("%d of %d complete where the user ends first; goroutines %+d, descriptors %+d at the relay",
				s.Complete, s.Users, after.Goroutines-before.Goroutines, after.Descriptors-before.Descriptors))
	})
}

// Types and flags of yamux, from its specification.
const (
	yamuxData   = 0
	yamuxGoAway = 3
	yamuxACK    = 2
	yamuxFIN    = 4
)

func yamuxFrame(kind byte, flags uint16, stream uint32, length int) string {
	b := be.BigEndian.AppendUint16([]byte{0, kind}, flags)
	b = be.BigEndian.AppendUint32(b, stream)
	return string(be.BigEndian.AppendUint32(b, uint32(length)))
}

// yamuxPayload reads frames until one has a payload, and gives it.
func yamuxPayload(t *testing.T, session net.Conn) (stream uint32, payload string) {
	t.Helper()
	for header := make([]byte, 12); ; {
		if _, err := io.ReadFull(session, header); err != nil {
			t.Fatalf("got %v, want a frame", err)
		}
		length := be.BigEndian.Uint32(header[8:])
		if header[1] == yamuxData && length > 0 {
			return be.BigEndian.Uint32(header[4:]), rawFull(t, session, int(length))
		}
	}
}

// A relay client wants no more streams, and finishes those that it has.
func TestRow32GoAway(t *testing.T) {
	t.Run("row32_go-away/multiplex", func(t *testing.T) {
		relay, addr := localRelay(t)
		session := rawRelay(t, addr, "multiplex\n")
		public := rawPublic(t, session)
		user := rawDial(t, public, "")
		rawWrite(t, user, "question")
		stream, question := yamuxPayload(t, session)
		rawWrite(t, session, yamuxFrame(yamuxGoAway, 0, 0, 0))
		// A user who comes before the relay has read that has a stream, which is
		// this client's to reset.
		relay.line(0, "closing the tunnel", func(line string) bool { return strings.Contains(line, `"tunnel closed"`) })
		end := "refused"
		if late, err := rawTry(public, ""); err == nil {
			if _, end = rawEnd(late); end != "reset" {
				t.Errorf("a new user got %s, want to be refused or reset", end)
			}
			rawReset(late)
		}
		const answer = "answer"
		rawWrite(t, session, yamuxFrame(yamuxData, yamuxACK|yamuxFIN, stream, len(answer))+answer)
		_ = user.CloseWrite()
		got, how := rawEnd(user)
		if question != "question" || got != answer || how != "fin" {
			t.Errorf("the client got %q, the user %q and %s; want the question, the answer, and the end", question, got, how)
		}
		record(t, "32", "GO_AWAY from the relay client", "frames", "new users: "+end+"; the user who was there got the answer and its end")
	})
}
