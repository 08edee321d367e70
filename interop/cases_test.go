package interop_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	userEndsFirst               = "user-ends-first"
	serverEndsFirst             = "server-ends-first"
	slowServer                  = "slow-server"
	userResets                  = "user-resets"
	userResetsHalfClosed        = "user-resets-half-closed"
	serverResets                = "server-resets"
	serverResetsHalfClosed      = "server-resets-half-closed"
	clientDies                  = "client-dies"
	relayDiesInUpload           = "relay-dies-in-upload"
	relayDiesInUploadHalfClosed = "relay-dies-in-upload-half-closed"
	megabyte                    = 1 << 20
)

var cases = []struct {
	name string
	run  func(*testing.T, *rig)
}{
	{"echo", func(t *testing.T, r *rig) { testEchoes(t, r, 1) }},
	{"many-users", func(t *testing.T, r *rig) { testEchoes(t, r, r.client.users) }},
	{userEndsFirst, testUserEndsFirst},
	{serverEndsFirst, testServerEndsFirst},
	{"server-speaks-first", testServerSpeaksFirst},
	{"megabyte-each-way", testMegabyte},
	{slowServer, testSlowServer},
	{"slow-user", testSlowUser},
	{"server-refuses", testServerRefuses},
	{userResets, func(t *testing.T, r *rig) { testUserResets(t, r, false) }},
	{userResetsHalfClosed, func(t *testing.T, r *rig) { testUserResets(t, r, true) }},
	{serverResets, func(t *testing.T, r *rig) { testServerResets(t, r, false) }},
	{serverResetsHalfClosed, func(t *testing.T, r *rig) { testServerResets(t, r, true) }},
	{clientDies, testClientDies},
	{"relay-dies", testRelayDies},
	{relayDiesInUpload, func(t *testing.T, r *rig) { testRelayDiesInUpload(t, r, false) }},
	{relayDiesInUploadHalfClosed, func(t *testing.T, r *rig) { testRelayDiesInUpload(t, r, true) }},
}

// random returns the same bytes for the same seed, so that only a reader of the
// complete question can know its answer.
func random(n int, seed []byte) []byte {
	data := make([]byte, n)
	rand.NewChaCha8(sha256.Sum256(seed)).Read(data)
	return data
}

func echo(conn *net.TCPConn) { io.Copy(conn, conn) }

// expect reads exactly as many bytes as want has, and compares them.
func expect(t *testing.T, conn net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || sha256.Sum256(got) != sha256.Sum256(want) {
		t.Errorf("got %d of %d bytes, or wrong ones: %v", n, len(want), err)
	}
}

func testEchoes(t *testing.T, r *rig, count int) {
	tunnel := r.tunnel(t, serve(t, echo))
	users := make([]*net.TCPConn, count)
	for i := range users {
		users[i] = tunnel.user(t)
	}
	var done sync.WaitGroup
	for i, user := range users {
		done.Go(func() {
			data := random(64<<10, []byte{byte(i)})
			go user.Write(data) // if this fails so does the read
			expect(t, user, data)
		})
	}
	done.Wait()
}

func testUserEndsFirst(t *testing.T, r *rig) {
	user := r.tunnel(t, serve(t, func(conn *net.TCPConn) {
		if question, err := io.ReadAll(conn); err == nil {
			conn.Write(random(megabyte, question))
		}
	})).user(t)
	user.Write([]byte("question"))
	user.CloseWrite()
	expect(t, user, random(megabyte, []byte("question")))
	if n, err := user.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the answer: %d bytes, %v", n, err)
	}
}

func testServerEndsFirst(t *testing.T, r *rig) {
	got := make(chan []byte, 1)
	user := r.tunnel(t, serve(t, func(conn *net.TCPConn) {
		io.WriteString(conn, "welcome")
		conn.CloseWrite()
		if data, err := io.ReadAll(conn); err == nil {
			got <- data
		}
	})).user(t)
	if greeting, err := io.ReadAll(user); err != nil || string(greeting) != "welcome" {
		t.Fatalf("the user got %q, %v", greeting, err)
	}
	data := random(megabyte, nil)
	user.Write(data)
	user.CloseWrite()
	select {
	case got := <-got:
		if !bytes.Equal(got, data) {
			t.Errorf("the server got %d bytes, and not those that were sent", len(got))
		}
	case <-time.After(patience):
		t.Error("the server did not get the user's end")
	}
}

func testServerSpeaksFirst(t *testing.T, r *rig) {
	tunnel := r.tunnel(t, serve(t, func(conn *net.TCPConn) {
		io.WriteString(conn, "who is there?")
		echo(conn)
	}))
	for range 3 {
		user := tunnel.user(t)
		expect(t, user, []byte("who is there?"))
		user.Write([]byte("me"))
		expect(t, user, []byte("me"))
	}
}

func testMegabyte(t *testing.T, r *rig) {
	user := r.tunnel(t, serve(t, func(conn *net.TCPConn) {
		question := make([]byte, megabyte)
		if _, err := io.ReadFull(conn, question); err == nil {
			conn.Write(random(megabyte, question))
		}
	})).user(t)
	question := random(megabyte, nil)
	user.Write(question)
	expect(t, user, random(megabyte, question))
}

// push writes data to a reader that pauses: some more each time that nothing moves, and
// in the end all the rest.
func push(conn *net.TCPConn, data []byte, more chan<- int64) {
	for range 4 {
		conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, _ := conn.Write(data)
		data = data[n:]
		more <- 4 * megabyte
	}
	close(more)
	conn.SetWriteDeadline(time.Now().Add(patience))
	conn.Write(data) // if this fails not all arrives
	conn.CloseWrite()
}

// pull reads what push writes.
func pull(conn *net.TCPConn, more <-chan int64) []byte {
	var got bytes.Buffer
	for n := range more {
		io.CopyN(&got, conn, n)
	}
	io.Copy(&got, conn)
	return got.Bytes()
}

func testSlowServer(t *testing.T, r *rig) {
	got, more := make(chan []byte, 1), make(chan int64)
	user := r.tunnel(t, serve(t, func(conn *net.TCPConn) {
		if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
			got <- pull(conn, more)
		}
	})).user(t)
	user.Write([]byte("!"))
	data := random(64*megabyte, nil)
	go push(user, data, more)
	select {
	case got := <-got:
		if !bytes.Equal(got, data) {
			t.Errorf("the server got %d bytes, and not those that were sent", len(got))
		}
	case <-time.After(patience):
		t.Error("the server did not get the user's end")
	}
}

func testSlowUser(t *testing.T, r *rig) {
	more := make(chan int64)
	data := random(64*megabyte, nil)
	user := r.tunnel(t, serve(t, func(conn *net.TCPConn) {
		if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
			push(conn, data, more)
		}
	})).user(t)
	user.Write([]byte("!"))
	if got := pull(user, more); !bytes.Equal(got, data) {
		t.Errorf("the user got %d bytes, and not those that were sent", len(got))
	}
}

func testServerRefuses(t *testing.T, r *rig) {
	user, err := net.Dial("tcp", r.tunnel(t, closed(t)).address)
	if err == nil { // otherwise the reset came before Dial returned
		user.SetDeadline(time.Now().Add(15 * time.Second))
		_, err = user.Read(make([]byte, 1))
		user.Close()
	}
	if reset := errors.Is(err, syscall.ECONNRESET); !reset && (err != io.EOF || r.client.resets) {
		t.Errorf("the user got no end, or not the right one: %v", err)
	}
}

// upload begins an endless upload. With halfClosed the server has ended its own
// direction before. It returns the user, and a channel with how the upload ended for
// the server.
func (r *rig) upload(t *testing.T, halfClosed bool) (*net.TCPConn, <-chan error) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	user := r.tunnel(t, serve(t, func(conn *net.TCPConn) {
		if halfClosed {
			conn.CloseWrite()
		}
		if _, err := io.CopyN(io.Discard, conn, 1<<16); err != nil {
			return // no user came on this one
		}
		close(begun)
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	})).user(t)
	if halfClosed {
		if n, err := user.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("the server's end is %d bytes, %v", n, err)
		}
	}
	go func() {
		var err error
		for chunk := random(1<<16, nil); err == nil; {
			_, err = user.Write(chunk)
		}
	}()
	select {
	case <-begun:
	case <-time.After(patience):
		t.Fatal("the server gets nothing")
	}
	return user, ended
}

// expectReset fails the test if the upload looked complete to the server.
func expectReset(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server got no reset, but: %v", err)
		}
	case <-time.After(patience):
		t.Error("the server got no reset")
	}
}

func testUserResets(t *testing.T, r *rig, halfClosed bool) {
	user, ended := r.upload(t, halfClosed)
	user.SetLinger(0)
	user.Close()
	expectReset(t, ended)
}

func testRelayDiesInUpload(t *testing.T, r *rig, halfClosed bool) {
	_, ended := r.upload(t, halfClosed)
	r.relay.kill()
	expectReset(t, ended)
}

func testServerResets(t *testing.T, r *rig, halfClosed bool) {
	arrived := make(chan struct{})
	user := r.tunnel(t, serve(t, func(conn *net.TCPConn) {
		if halfClosed {
			io.Copy(io.Discard, conn)
		}
		conn.Write(random(1<<16, nil))
		<-arrived
		conn.SetLinger(0)
	})).user(t)
	if halfClosed {
		user.CloseWrite()
	} else {
		user.Write([]byte("!"))
	}
	expect(t, user, random(1<<16, nil))
	close(arrived)
	if n, err := user.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the user got no reset, but: %d bytes, %v", n, err)
	}
}

func testClientDies(t *testing.T, r *rig) {
	tunnel := r.tunnel(t, serve(t, func(conn *net.TCPConn) {
		_, err := io.ReadFull(conn, make([]byte, 1))
		for chunk := random(4096, nil); err == nil; {
			_, err = conn.Write(chunk)
		}
	}))
	user := tunnel.user(t)
	user.Write([]byte("!"))
	if _, err := io.CopyN(io.Discard, user, megabyte); err != nil {
		t.Fatal(err)
	}
	tunnel.kill()
	if n, err := io.Copy(io.Discard, user); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after %d more bytes there was no reset, but: %v", n, err)
	}
}

func testRelayDies(t *testing.T, r *rig) {
	tunnel := r.tunnel(t, serve(t, echo))
	r.relay.kill()
	select {
	case <-tunnel.exited:
		if code := tunnel.cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("the client's exit status is %d", code)
		}
	case <-time.After(patience):
		t.Error("the client does not notice")
	}
}
