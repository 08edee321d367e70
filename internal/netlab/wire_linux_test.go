package netlab_test

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/netlab"
)

// cable gives two files, of which one reads the packets that the other writes.
func cable(t *testing.T) (mine, wires *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, wires = os.NewFile(uintptr(fds[0]), "mine"), os.NewFile(uintptr(fds[1]), "wire's")
	t.Cleanup(func() { mine.Close() })
	return mine, wires
}

// send sends numbered packets through a wire and gives the numbers that arrive.
func send(t *testing.T, c netlab.Conditions, count, arriving int) (numbers []uint32) {
	t.Helper()
	near, a := cable(t)
	far, b := cable(t)
	wire := netlab.Carry(a, b, c)
	t.Cleanup(func() {
		if err := wire.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range count {
		if _, err := near.Write(binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := far.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for range arriving {
		packet := make([]byte, 100)
		n, err := far.Read(packet)
		if err != nil || n != 4 {
			t.Fatalf("after %d packets: %d bytes, %v", len(numbers), n, err)
		}
		numbers = append(numbers, binary.BigEndian.Uint32(packet))
	}
	return numbers
}

func TestWireKeepsTheOrder(t *testing.T) {
	c := netlab.Conditions{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}
	for i, got := range send(t, c, 100, 100) {
		if got != uint32(i) {
			t.Fatalf("packet %d is number %d", i, got)
		}
	}
}

func TestWireReorders(t *testing.T) {
	seen := make(map[uint32]bool)
	inOrder := true
	for i, got := range send(t, netlab.Conditions{Delay: 100 * time.Millisecond, Reorder: 0.2, Seed: 1}, 100, 100) {
		seen[got] = true
		inOrder = inOrder && got == uint32(i)
	}
	if len(seen) != 100 {
		t.Errorf("%d of 100 packets arrived", len(seen))
	}
	if inOrder {
		t.Error("none of 100 packets has overtaken another one")
	}
}

func TestWireDuplicates(t *testing.T) {
	for i, got := range send(t, netlab.Conditions{Duplicate: 1}, 50, 100) {
		if got != uint32(i/2) {
			t.Fatalf("packet %d is number %d", i, got)
		}
	}
}

func TestWireCloses(t *testing.T) {
	_, a := cable(t)
	far, b := cable(t)
	wire := netlab.Carry(a, b, netlab.Conditions{Delay: time.Hour})
	if err := wire.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := far.Read(make([]byte, 1)); n > 0 {
		t.Errorf("%d bytes, %v; want the end of a wire that is closed", n, err)
	}
}
