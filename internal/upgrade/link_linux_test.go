package upgrade

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// links returns both ends of a link.
func links(t *testing.T) (a, b *Link) {
	t.Helper()
	a, theirs, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	if b, err = newLink(theirs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	for _, l := range []*Link{a, b} {
		if err := l.SetReceiveDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// A descriptor goes along, and only with a message that has one.
func TestLinkPassesDescriptors(t *testing.T) {
	a, b := links(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd, err := Share(l.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Send(Message{Kind: Listener, Name: "control"}, fd); err != nil {
		t.Fatal(err)
	}
	CloseFD(fd)
	m, got, err := b.Receive()
	if err != nil || m.Name != "control" || got < 0 {
		t.Fatalf("got %+v, descriptor %d, %v", m, got, err)
	}
	if flags, err := unix.FcntlInt(uintptr(got), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor would be another program's, too: %x, %v", flags, err)
	}
	file := os.NewFile(uintptr(got), "listener")
	defer file.Close()
	same, err := net.FileListener(file)
	if err != nil || same.Addr().String() != l.Addr().String() {
		t.Fatalf("it listens at %v, %v", same, err)
	}
	_ = same.Close()
}

// Messages that lack their descriptor, have one that they may not have, or are too large or
// wrong are refused, and their descriptors are closed.
func TestLinkRefuses(t *testing.T) {
	a, b := links(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	raw := func(text string, files ...int) {
		var oob []byte
		if len(files) > 0 {
			oob = unix.UnixRights(files...)
		}
		if _, _, err := a.conn.WriteMsgUnix([]byte(text), oob, nil); err != nil {
			t.Fatal(err)
		}
	}
	fd := int(write.Fd())
	raw(`{"kind":"user","port":1}`)
	raw(`{"kind":"served","port":1}`, fd)
	raw(`{"kind":"user","port":1}`, fd, fd, fd)
	raw(`{"kind":"user"`, fd)
	raw(`{"kind":"user","text":"`+string(make([]byte, maxMessage))+`"}`, fd)
	for range 5 {
		if m, fd, err := b.Receive(); err == nil || fd >= 0 {
			t.Errorf("taken are %+v, and descriptor %d", m, fd)
		}
	}
	_ = write.Close()
	if err := read.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := read.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a descriptor is open still: %v", err)
	}
	_ = a.Close()
	if _, _, err := b.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

// A descriptor for which there is no room costs its message, and not the link.
func TestLinkWithoutRoom(t *testing.T) {
	a, b := links(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	defer write.Close()
	for range 2 {
		if err := a.Send(Message{Kind: User, Port: 1}, int(write.Fd())); err != nil {
			t.Fatal(err)
		}
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	_, _, err = b.Receive()
	if restored := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); restored != nil {
		t.Fatal(restored)
	}
	if !errors.Is(err, ErrLost) {
		t.Errorf("without room for a descriptor: %v", err)
	}
	_, fd, err := b.Receive()
	if err != nil || fd < 0 {
		t.Errorf("after that: descriptor %d, %v", fd, err)
	}
	CloseFD(fd)
}

// A process that nobody upgrades is no heir, and one whose environment is made up says so.
func TestNotInherited(t *testing.T) {
	if link, err := Inherited(); link != nil || err != nil {
		t.Errorf("got %v, %v", link, err)
	}
	for _, value := range []string{"", "x", "1", "-3", "99999"} {
		t.Setenv(variable, value)
		if link, err := Inherited(); link != nil || err == nil {
			t.Errorf("%q: got %v, %v", value, link, err)
		}
		if _, is := os.LookupEnv(variable); is {
			t.Errorf("%q stays in the environment", value)
		}
	}
}
