package netlab

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mtu = 1500
	// wirePackets bounds what is queued and under way together, each way.
	wirePackets = 1 << 15
	// Late is the delay with which a packet counts as late: the wire is a program
	// among others. A measurement over a wire with many late packets is of no use.
	Late = 5 * time.Millisecond
)

// Wire carries packets between devices on two hosts until it is closed. It is used
// instead of the kernel's netem, which fewer kernels have than TUN.
type Wire struct {
	ends    [2]*os.File
	flights [2]*flight
	running sync.WaitGroup
	// carried and late are packets.
	carried, late atomic.Int64
}

// End is one end of a wire: a device that it makes on a host.
type End struct {
	Host   *Host
	Device string
}

// NewWire lays a wire. Its devices are up but have no addresses. The caller closes it.
func NewWire(ctx context.Context, a, b End, c Conditions) (*Wire, error) {
	w := new(Wire)
	for i, at := range []End{a, b} {
		end, err := at.Host.openTUN(at.Device)
		if err == nil {
			w.ends[i] = end
			// The device's queue is before the wire's, and must never be full.
			err = at.Host.IP(ctx, "link", "set", at.Device, "mtu", strconv.Itoa(mtu), "txqueuelen", "10000", "up")
		}
		if err != nil {
			return nil, errors.Join(err, w.closeEnds())
		}
	}
	w.carry(c)
	return w, nil
}

func (w *Wire) carry(c Conditions) {
	for i, from := range w.ends {
		f := &flight{path: newPath(c, uint64(i)), more: make(chan struct{}, 1)}
		w.flights[i] = f
		w.running.Go(func() { f.takeIn(from) })
		w.running.Go(func() { w.giveOut(w.ends[1-i], f) })
	}
}

// Close removes the wire, with its devices and all packets under way.
func (w *Wire) Close() error {
	err := w.closeEnds()
	w.running.Wait()
	return err
}

func (w *Wire) closeEnds() (err error) {
	for _, end := range w.ends {
		if end != nil {
			err = errors.Join(err, end.Close())
		}
	}
	return err
}

// DrawAgain draws anew how many packets go each way before one of LossEvery is lost. So
// what has gone before a measurement does not matter to it.
func (w *Wire) DrawAgain() {
	for _, f := range w.flights {
		f.path.again.Store(true)
	}
}

// LatePercent returns the percentage of packets that were late.
func (w *Wire) LatePercent() float64 {
	return 100 * float64(w.late.Load()) / float64(max(w.carried.Load(), 1))
}

func (w *Wire) giveOut(to *os.File, f *flight) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p, wait, open := f.next(time.Now())
		switch {
		case !open:
			return
		case p.bytes == nil && wait == 0:
			<-f.more
		case p.bytes == nil:
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-f.more: // the new one may arrive earlier
			}
		default:
			w.carried.Add(1)
			if time.Since(p.arrives) > Late {
				w.late.Add(1)
			}
			_, _ = to.Write(p.bytes) // lost, as on any wire
		}
	}
}

// flight is the packets that are under way in one direction.
type flight struct {
	path *path
	more chan struct{} // a packet has come, or the end

	mu      sync.Mutex // guards what follows
	packets packets
	count   uint64 // of all packets that have come
	closed  bool
}

// takeIn reads packets, and drops those that the wire has no place for, as a router does.
func (f *flight) takeIn(from *os.File) {
	defer f.close()
	for {
		buf := make([]byte, mtu)
		n, err := from.Read(buf)
		if err != nil {
			return // closed
		}
		f.add(buf[:n], f.path.arrivals(time.Now(), n))
	}
}

func (f *flight) add(bytes []byte, arrivals []time.Time) {
	f.mu.Lock()
	for _, at := range arrivals {
		if len(f.packets) < wirePackets {
			f.count++
			heap.Push(&f.packets, packet{bytes, at, f.count})
		}
	}
	f.mu.Unlock()
	f.wake()
}

func (f *flight) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.wake()
}

func (f *flight) wake() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// next takes a packet that has arrived. If none has, it returns how long until one
// does, or zero if nothing is under way.
func (f *flight) next(now time.Time) (p packet, wait time.Duration, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return p, 0, false
	}
	if len(f.packets) == 0 {
		return p, 0, true
	}
	if wait := f.packets[0].arrives.Sub(now); wait > 0 {
		return p, wait, true
	}
	return heap.Pop(&f.packets).(packet), 0, true
}

type packet struct {
	bytes   []byte
	arrives time.Time
	number  uint64 // of those that arrive at the same time the lowest goes first
}

// packets is a heap: the first is the one that arrives next.
type packets []packet

func (p packets) Len() int      { return len(p) }
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *packets) Push(x any)   { *p = append(*p, x.(packet)) }

func (p packets) Less(i, j int) bool {
	if p[i].arrives.Equal(p[j].arrives) {
		return p[i].number < p[j].number
	}
	return p[i].arrives.Before(p[j].arrives)
}

func (p *packets) Pop() any {
	last := (*p)[len(*p)-1]
	(*p)[len(*p)-1] = packet{} // its bytes are no longer ours
	*p = (*p)[:len(*p)-1]
	return last
}

// openTUN makes a TUN device. The descriptor belongs to the host's namespace wherever
// it is used.
func (h *Host) openTUN(device string) (end *os.File, err error) {
	err = h.Enter(func() error {
		fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("opening %s: %w", tunPath, err)
		}
		request, err := unix.NewIfreq(device)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("making a device: %w", err)
		}
		// The descriptor does not block, so that closing it ends a read.
		end = os.NewFile(uintptr(fd), tunPath)
		return nil
	})
	return end, err
}
