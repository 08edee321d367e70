package conformance_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
)

// downloads is how many run while something is restarted, and each has so many portions
// of so many bytes, one in a tenth of a second.
const (
	downloads = 100
	portions  = 40
	portion   = 16 << 10
)

// trickle is a local server that sends so slowly to users who have sent d, and nothing to
// others.
func trickle(conn *net.TCPConn) {
	var what [1]byte
	if _, err := io.ReadFull(conn, what[:]); err != nil || what[0] != 'd' {
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		return
	}
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	s := newStream(1)
	for range portions {
		if send(conn, s, portion) != nil {
			break
		}
		<-every.C
	}
	_ = conn.Close()
}

// A relay that shuts down waits for downloads, and not for a silent user: it resets that
// one, and is gone soon after the last download is complete. When it is back so are its
// forwarders.
func TestRelayRestartsAmongDownloads(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		addr := "127.0.0.1:" + conntest.FreePort(t)
		r := startRelay(t, addr)
		tun := forward(t, addr, serveLocal(t, trickle), protocol, nil)
		amongDownloads(t, tun.public, r)
		startRelay(t, addr)
		silentUser(t, within(t, tun.registered, "the forwarder to register again"))
	})
}

// The same holds for a forwarder.
func TestForwarderEndsAmongDownloads(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		addr := "127.0.0.1:" + conntest.FreePort(t)
		startRelay(t, addr)
		f := startForwarder(t, addr, serveLocal(t, trickle), protocol)
		amongDownloads(t, f.nextPublic(t), f)
	})
}

// amongDownloads tells a process to end while downloads run, and expects them to be
// whole, and a silent user to be reset long before the process would reset all.
func amongDownloads(t *testing.T, public string, p *process) {
	t.Helper()
	silent := silentUser(t, public)
	results := make(chan error, downloads)
	var begun sync.WaitGroup
	begun.Add(downloads)
	for range downloads {
		go func() { results <- download(public, &begun) }()
	}
	begun.Wait()
	since := time.Now()
	must(t, p.Process.Signal(syscall.SIGTERM))
	if n, err := silent.Read(make([]byte, 1)); n != 0 || !isReset(err) {
		t.Errorf("the silent user: %d bytes and %v, want a reset", n, err)
	}
	if took := time.Since(since); took > relay.DefaultDrain/2 {
		t.Errorf("the silent user was reset after %v", took)
	}
	failed := 0
	for range downloads {
		if err := <-results; err != nil {
			failed++
			t.Log(err)
		}
	}
	if failed > 0 {
		t.Errorf("%d of %d downloads are not whole", failed, downloads)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
}

func silentUser(t *testing.T, public string) *net.TCPConn {
	t.Helper()
	conn := dial(t, public)
	_, err := conn.Write([]byte("s"))
	must(t, err)
	return conn
}

// download downloads, and reports when it has begun.
func download(public string, begun *sync.WaitGroup) error {
	conn, err := net.Dial("tcp", public)
	if err != nil {
		begun.Done()
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("d")); err != nil {
		begun.Done()
		return err
	}
	s := newStream(1)
	err = expect(conn, s, portion)
	begun.Done()
	if err == nil {
		err = expect(conn, s, (portions-1)*portion)
	}
	if err != nil {
		return err
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("behind the end: %d bytes and %w", n, err)
	}
	return nil
}
