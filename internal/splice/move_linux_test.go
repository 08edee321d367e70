package splice_test

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// Bytes go through a pipe whole and in order, whatever their number and however many
// move at a time.
func TestMove(t *testing.T) {
	for _, size := range []int{1, 4095, 64 << 10, 100_003, 3<<20 + 17} {
		for _, limit := range []int{1000, 64 << 10, 1 << 20} {
			if size/limit > 500 {
				continue
			}
			t.Run(fmt.Sprintf("%d bytes, up to %d at a time", size, limit), func(t *testing.T) {
				r := newRoute(t, 0)
				sent := pattern(size)
				got := make(chan []byte, 1)
				go func() {
					write(t, r.from, sent)
					closeWrite(t, r.from)
				}()
				go func() { got <- read(t, r.to, size+1) }()
				if moved := move(t, r, limit); moved != size {
					t.Errorf("%d bytes were moved, want %d", moved, size)
				}
				closeWrite(t, r.out)
				if b := <-got; !bytes.Equal(b, sent) {
					t.Errorf("got %d bytes, want %d, the same ones", len(b), size)
				}
			})
		}
	}
}

// move moves what comes, like a join, until the end.
func move(t *testing.T, r route, limit int) (moved int) {
	t.Helper()
	p := take(t)
	defer p.Release()
	for {
		n, err := p.Fill(r.in, limit)
		if n > limit || p.Len() != n {
			t.Fatalf("Fill took %d bytes of %d, and Len is %d", n, limit, p.Len())
		}
		if err == unix.EAGAIN {
			await(t, r.in, unix.POLLIN)
			continue
		}
		if err != nil || n == 0 {
			if err != nil {
				t.Errorf("after %d bytes: %v", moved, err)
			}
			return moved
		}
		for p.Len() > 0 {
			before := p.Len()
			n, err := p.Pour(r.out)
			if p.Len() != before-n {
				t.Fatalf("of %d bytes %d were poured, and Len is %d", before, n, p.Len())
			}
			moved += n
			if err == unix.EAGAIN {
				await(t, r.out, unix.POLLOUT)
			} else if err != nil {
				t.Fatalf("after %d bytes: %v", moved, err)
			}
		}
	}
}

// Fill takes no more than its limit, and leaves the rest in the socket.
func TestFillLimit(t *testing.T) {
	r := newRoute(t, 0)
	sent := pattern(10_000)
	write(t, r.from, sent)
	awaitBytes(t, r.in, len(sent))
	p := take(t)
	defer p.Release()
	for done, limit := range []int{1, 999, 3000, 6000} {
		n, err := p.Fill(r.in, limit)
		if n != limit || err != nil || p.Len() != limit {
			t.Fatalf("%d: Fill returns %d, %v and Len %d, want %d", done, n, err, p.Len(), limit)
		}
		if n, err := p.Pour(r.out); n != limit || err != nil || p.Len() != 0 {
			t.Fatalf("%d: Pour returns %d, %v and Len %d, want %d", done, n, err, p.Len(), limit)
		}
	}
	if n, err := p.Fill(r.in, 1000); n != 0 || err != unix.EAGAIN || p.Len() != 0 {
		t.Errorf("without bytes Fill returns %d, %v and Len %d", n, err, p.Len())
	}
	if got := read(t, r.to, len(sent)); !bytes.Equal(got, sent) {
		t.Error("the bytes differ")
	}
}

// At the end Fill returns 0, as often as it is called.
func TestFillAtEnd(t *testing.T) {
	r := newRoute(t, 0)
	write(t, r.from, []byte("last words"))
	closeWrite(t, r.from)
	await(t, r.in, unix.POLLRDHUP)
	p := take(t)
	defer p.Release()
	if n, err := p.Fill(r.in, 1<<20); n != len("last words") || err != nil {
		t.Fatalf("Fill returns %d, %v", n, err)
	}
	if n, err := p.Pour(r.out); n != len("last words") || err != nil {
		t.Fatalf("Pour returns %d, %v", n, err)
	}
	for range 3 {
		if n, err := p.Fill(r.in, 1<<20); n != 0 || err != nil || p.Len() != 0 {
			t.Errorf("at the end Fill returns %d, %v and Len %d", n, err, p.Len())
		}
		if n, err := p.Pour(r.out); n != 0 || err != nil {
			t.Errorf("of an empty pipe Pour returns %d, %v", n, err)
		}
	}
}

// Bytes that came before a reset can be moved; then comes the reset, once.
func TestFillAtReset(t *testing.T) {
	r := newRoute(t, 0)
	sent := []byte("last words")
	write(t, r.from, sent)
	awaitBytes(t, r.in, len(sent))
	reset(t, r.from)
	await(t, r.in, unix.POLLERR)
	p := take(t)
	defer p.Release()
	if n, err := p.Fill(r.in, 1<<20); n != len(sent) || err != nil {
		t.Fatalf("Fill returns %d, %v", n, err)
	}
	if n, err := p.Pour(r.out); n != len(sent) || err != nil {
		t.Fatalf("Pour returns %d, %v", n, err)
	}
	if n, err := p.Fill(r.in, 1<<20); n != 0 || err != unix.ECONNRESET {
		t.Errorf("Fill returns %d, %v, want the reset", n, err)
	}
	if got := read(t, r.to, len(sent)); !bytes.Equal(got, sent) {
		t.Errorf("got %q", got)
	}
}

// reset closes a connection with a reset. Another file takes the number, so that it can
// still be closed.
func reset(t *testing.T, fd int) {
	t.Helper()
	other, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(other) }()
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(other, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// Fill stops at urgent data, and does not get past it. A read does.
func TestFillAtUrgentData(t *testing.T) {
	r := newRoute(t, 0)
	if err := unix.SetsockoptInt(r.in, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1); err != nil {
		t.Fatal(err)
	}
	write(t, r.from, []byte("before"))
	if err := unix.Send(r.from, []byte("!"), unix.MSG_OOB); err != nil {
		t.Fatal(err)
	}
	write(t, r.from, []byte("behind"))
	awaitBytes(t, r.in, len("before!behind"))
	p := take(t)
	defer p.Release()
	if n, err := p.Fill(r.in, 1<<20); n != len("before") || err != nil {
		t.Fatalf("Fill returns %d, %v; want what comes before the urgent byte", n, err)
	}
	if n, err := p.Pour(r.out); n != len("before") || err != nil {
		t.Fatalf("Pour returns %d, %v", n, err)
	}
	for range 3 {
		if n, err := p.Fill(r.in, 1<<20); n != 0 || err != nil && err != unix.EAGAIN {
			t.Fatalf("at the urgent byte Fill returns %d, %v", n, err)
		}
	}
	if got := read(t, r.in, len("!behind")); string(got) != "!behind" {
		t.Errorf("then a read returns %q", got)
	}
	if got := read(t, r.to, len("before")); string(got) != "before" {
		t.Errorf("got %q", got)
	}
}

// A receiver that does not read leaves bytes in the pipe. They go on when it reads.
func TestPourToBlockedReceiver(t *testing.T) {
	r := newRoute(t, 8<<10)
	sent := pattern(4 << 20)
	go func() {
		write(t, r.from, sent)
		closeWrite(t, r.from)
	}()
	p := take(t)
	defer p.Release()
	moved, partial := 0, false
	fill := func() (n int) {
		for {
			n, err := p.Fill(r.in, 1<<20)
			if err != unix.EAGAIN {
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			await(t, r.in, unix.POLLIN)
		}
	}
	var got []byte
	for n := fill(); n > 0; n = fill() {
		for held := n; p.Len() > 0; {
			n, err := p.Pour(r.out)
			if held -= n; p.Len() != held {
				t.Fatalf("%d bytes are held, and Len is %d", held, p.Len())
			}
			moved += n
			if (err == unix.EAGAIN) != (held > 0) || err != nil && err != unix.EAGAIN {
				t.Fatalf("Pour returns %d, %v, and %d bytes are left", n, err, held)
			}
			if held > 0 {
				partial = partial || n > 0
				if n, err := p.Pour(r.out); n != 0 || err != unix.EAGAIN {
					// The receiver's kernel may have taken some in the meantime.
					held -= n
					moved += n
				}
				got = append(got, readSome(t, r.to)...)
			}
		}
	}
	closeWrite(t, r.out)
	got = append(got, read(t, r.to, len(sent)+1-len(got))...)
	if moved != len(sent) || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes were moved and %d came, want %d, the same ones", moved, len(got), len(sent))
	}
	if !partial {
		t.Error("nothing was poured in part")
	}
}

// readSome reads what has come; the receiver is full, so there is something.
func readSome(t *testing.T, fd int) []byte {
	t.Helper()
	for b := make([]byte, 64<<10); ; {
		n, err := unix.Read(fd, b)
		if err == nil {
			return b[:n]
		}
		if err != unix.EINTR {
			t.Fatal(err)
		}
	}
}

// Pour fails if the receiver is gone.
func TestPourToGoneReceiver(t *testing.T) {
	r := newRoute(t, 0)
	write(t, r.from, []byte("nobody reads this"))
	awaitBytes(t, r.in, len("nobody reads this"))
	reset(t, r.to)
	await(t, r.out, unix.POLLERR)
	p := take(t)
	defer p.Release()
	n, err := p.Fill(r.in, 1<<20)
	if n == 0 || err != nil {
		t.Fatalf("Fill returns %d, %v", n, err)
	}
	if poured, err := p.Pour(r.out); poured != 0 || err != unix.ECONNRESET && err != unix.EPIPE || p.Len() != n {
		t.Errorf("Pour returns %d, %v and Len %d, want a reset and %d", poured, err, p.Len(), n)
	}
}
