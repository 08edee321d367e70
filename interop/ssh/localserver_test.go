package ssh_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// patience bounds every wait for what happens at once if it happens.
	patience = 60 * time.Second
	// quiet is how long a test looks for what is not to come.
	quiet  = 3 * time.Second
	banner = "welcome\n" // the server speaks first
	bulk   = 64 << 20
	answer = 1 << 20
)

// localServer does what the first line of a user says, after its banner.
type localServer struct {
	net.Listener
	running sync.WaitGroup
	mu      sync.Mutex // guards what follows
	late    []string   // what has come after the server's end
	sums    []string   // of uploads
}

func startLocal(t *testing.T) *localServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &localServer{Listener: l}
	s.running.Go(s.serve)
	t.Cleanup(func() {
		_ = l.Close()
		s.running.Wait()
	})
	return s
}

func (s *localServer) port() string {
	_, port, _ := net.SplitHostPort(s.Addr().String())
	return port
}

func (s *localServer) serve() {
	for {
		c, err := s.Accept()
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(2 * patience))
		s.running.Go(func() { s.handle(c.(*net.TCPConn)) })
	}
}

func (s *localServer) handle(c *net.TCPConn) {
	defer c.Close()
	_, _ = io.WriteString(c, banner)
	r := bufio.NewReader(c)
	verb, err := r.ReadString('\n')
	if err != nil {
		return
	}
	switch strings.TrimSpace(verb) {
	case "echo":
		_, _ = io.Copy(c, r)
	case "half": // answers when the user has ended
		n, _ := io.Copy(io.Discard, r)
		_, _ = io.CopyN(c, random(n), answer)
	case "first": // ends first, and takes what comes late
		_ = c.CloseWrite()
		late, _ := io.ReadAll(r)
		s.mu.Lock()
		s.late = append(s.late, string(late))
		s.mu.Unlock()
	case "down":
		_, _ = io.CopyN(c, random(1), bulk)
	case "up":
		sum := sha256.New()
		_, _ = io.Copy(sum, r)
		s.mu.Lock()
		s.sums = append(s.sums, hex.EncodeToString(sum.Sum(nil)))
		s.mu.Unlock()
	case "endless":
		_, _ = io.Copy(c, random(2))
	case "reset":
		_, _ = io.WriteString(c, "half of it")
		<-time.After(100 * time.Millisecond) // so that the reset does not overtake it
		_ = c.SetLinger(0)
	}
}

// random returns bytes that are the same for the same seed, without an end.
func random(seed int64) io.Reader {
	var key [32]byte
	copy(key[:], fmt.Sprint(seed))
	return rand.NewChaCha8(key)
}

// sumOf returns the SHA-256 of so many of them.
func sumOf(seed int64, n int64) string {
	sum := sha256.New()
	_, _ = io.CopyN(sum, random(seed), n)
	return hex.EncodeToString(sum.Sum(nil))
}
