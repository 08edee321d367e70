package interop_test

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Users who ask and end at once, and wait for their answers, do not keep others away:
// hashicorp/yamux v0.1.2 never acknowledges a stream whose end came before it was
// accepted. The server answers only when all have asked.
func TestUsersEndAtOnce(t *testing.T) {
	const users = 600
	relay := filepath.Join(t.TempDir(), "relay")
	build(t, ".", "go", "build", "-o", relay, "github.com/seed96252745/relay/cmd/relay")
	for _, c := range clients {
		if !strings.HasPrefix(c.name, "go-") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			build(t, c.dir, c.build...)
			var asked sync.WaitGroup
			asked.Add(users)
			tunnel := newRig(t, c, relay).tunnel(t, serve(t, func(conn *net.TCPConn) {
				if question, err := io.ReadAll(conn); err == nil && string(question) == "question" {
					asked.Done()
					asked.Wait()
					io.WriteString(conn, "answer")
				}
			}))
			var all [users]*net.TCPConn
			for i := range all {
				all[i] = tunnel.user(t)
				io.WriteString(all[i], "question")
				all[i].CloseWrite()
			}
			for i, user := range all {
				if got, err := io.ReadAll(user); err != nil || string(got) != "answer" {
					t.Fatalf("user %d got %q, %v", i, got, err)
				}
			}
		})
	}
}
