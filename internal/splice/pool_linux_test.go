package splice_test

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/splice"
)

// maxPipes is the number of pipes in all.
const maxPipes = 256

// needDescriptors skips a test for which there are too few descriptors.
func needDescriptors(t *testing.T, n int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < uint64(n+100) {
		t.Skipf("this needs %d descriptors, and RLIMIT_NOFILE allows %d", n+100, limit.Cur)
	}
}

func giveBack(pipes []*splice.Pipe) {
	for _, p := range pipes {
		p.Release()
	}
}

// The number of pipes is bounded, and released ones can be had again.
func TestMaxPipes(t *testing.T) {
	needDescriptors(t, 2*maxPipes)
	for range 3 {
		taken := takeAll(t)
		if len(taken) != maxPipes {
			t.Fatalf("there were %d pipes, want %d", len(taken), maxPipes)
		}
		different := make(map[*splice.Pipe]bool)
		for _, p := range taken {
			different[p] = true
		}
		if len(different) != len(taken) {
			t.Error("one pipe was handed out twice")
		}
		for range 10 {
			taken[0].Release()
			taken[0] = take(t)
			if splice.GetPipe() != nil {
				t.Error("there is one too many")
			}
		}
		giveBack(taken)
	}
}

// The bound holds for concurrent calls.
func TestMaxPipesConcurrently(t *testing.T) {
	needDescriptors(t, 4*maxPipes)
	var held, most, none atomic.Int64
	var taking sync.WaitGroup
	for range 16 {
		taking.Go(func() {
			var mine []*splice.Pipe
			for range 200 {
				p := splice.GetPipe()
				if p == nil {
					none.Add(1)
					held.Add(-int64(len(mine)))
					giveBack(mine)
					mine = nil
					continue
				}
				mine = append(mine, p)
				now := held.Add(1)
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
			}
			held.Add(-int64(len(mine)))
			giveBack(mine)
		})
	}
	taking.Wait()
	if most.Load() > maxPipes {
		t.Errorf("%d pipes were held at once, want %d at most", most.Load(), maxPipes)
	}
	taken := takeAll(t)
	defer giveBack(taken)
	if len(taken) != maxPipes {
		t.Errorf("then there are %d, want %d", len(taken), maxPipes)
	}
}

// A pipe that is released while it holds bytes is closed: nobody gets them.
func TestReleaseWithBytes(t *testing.T) {
	needDescriptors(t, 2*maxPipes)
	r := newRoute(t, 0)
	old := []byte("old bytes")
	keepGarbage(t)
	for range 50 {
		write(t, r.from, old)
		awaitBytes(t, r.in, len(old))
		p := take(t)
		before := descriptors(t)
		if n, err := p.Fill(r.in, 1<<20); n != len(old) || err != nil {
			t.Fatalf("Fill returns %d, %v", n, err)
		}
		p.Release()
		if after := descriptors(t); after != before-2 {
			t.Fatalf("there were %d descriptors, and %d after it was given back, want %d", before, after, before-2)
		}
	}
	// Any pipe from now on carries what is put into it, and only that.
	taken := takeAll(t)
	defer giveBack(taken)
	if len(taken) != maxPipes {
		t.Errorf("there are %d pipes, want %d", len(taken), maxPipes)
	}
	for i, p := range taken {
		if p.Len() != 0 {
			t.Errorf("pipe %d holds %d bytes", i, p.Len())
		}
		write(t, r.from, []byte{byte(i)})
		awaitBytes(t, r.in, 1)
		if n, err := p.Fill(r.in, 1<<20); n != 1 || err != nil {
			t.Fatalf("pipe %d: Fill returns %d, %v", i, n, err)
		}
		if n, err := p.Pour(r.out); n != 1 || err != nil {
			t.Fatalf("pipe %d: Pour returns %d, %v", i, n, err)
		}
		if got := read(t, r.to, 1); len(got) != 1 || got[0] != byte(i) {
			t.Fatalf("pipe %d carried %q, want %q", i, got, byte(i))
		}
	}
}

// If a part of a pipe's bytes was poured, the rest is gone with the pipe.
func TestReleaseWithRest(t *testing.T) {
	r := newRoute(t, 4<<10)
	sent := pattern(512 << 10)
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		write(t, r.from, sent)
	}()
	awaitBytes(t, r.in, 64<<10)
	p := take(t)
	if _, err := p.Fill(r.in, 1<<20); err != nil {
		t.Fatal(err)
	}
	poured, err := p.Pour(r.out)
	if err != unix.EAGAIN || p.Len() == 0 {
		t.Fatalf("Pour returns %d, %v and Len %d, want a blocked receiver", poured, err, p.Len())
	}
	keepGarbage(t)
	lost := p.Len()
	before := descriptors(t)
	p.Release()
	if after := descriptors(t); after != before-2 {
		t.Errorf("there were %d descriptors, and %d after it was given back, want %d", before, after, before-2)
	}
	if got := read(t, r.to, poured); string(got) != string(sent[:poured]) {
		t.Error("what was poured differs")
	}
	drain(t, r.in, len(sent)-poured-lost)
	<-wrote
}

// keepGarbage has only Release close pipes, until the test is over.
func keepGarbage(t *testing.T) {
	t.Helper()
	collect(t, 0)
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
}

// drain reads n bytes, so that their writer ends.
func drain(t *testing.T, fd, n int) {
	t.Helper()
	for b := make([]byte, 64<<10); n > 0; {
		await(t, fd, unix.POLLIN)
		got, err := unix.Read(fd, b)
		if got <= 0 {
			t.Fatalf("reading returns %d, %v", got, err)
		}
		n -= got
	}
}

// Few pipes at a time need few descriptors, however often; the garbage collector closes
// unused ones.
func TestDescriptorsAreBounded(t *testing.T) {
	const atATime, rounds = 4, 500
	collect(t, 0)
	before := descriptors(t)
	for i := range rounds {
		var taken []*splice.Pipe
		for range atATime {
			taken = append(taken, take(t))
		}
		giveBack(taken)
		if i%20 == 0 {
			// The race detector has pools drop a part of what is put there.
			runtime.GC()
		}
	}
	if now := descriptors(t); now > before+2*maxPipes {
		t.Errorf("%d pipes at a time have opened %d descriptors", atATime, now-before)
	}
	collect(t, before)
}

// collect collects garbage until no more than most descriptors are left or, with 0, as
// few as possible.
func collect(t *testing.T, most int) {
	t.Helper()
	for limit, last, same := time.Now().Add(patience), -1, 0; ; {
		runtime.GC()
		runtime.Gosched()
		now := descriptors(t)
		if same++; now != last {
			last, same = now, 0
		}
		switch {
		case most > 0 && now <= most, most == 0 && same > 10:
			return
		case time.Now().After(limit):
			t.Fatalf("%d descriptors are open, want %d", now, most)
		}
	}
}

// Without descriptors there is no pipe. That is not a failure, and takes nothing from
// the bound.
func TestGetPipeWithDescriptorsShort(t *testing.T) {
	needDescriptors(t, 2*maxPipes)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// A pool may keep one for each processor that is found on no other. So only the
	// taken pipes may be open.
	collect(t, 0)
	some := []*splice.Pipe{take(t), take(t)}
	low := limit
	low.Cur = 0 // not one more
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	for range 2 * maxPipes {
		if splice.GetPipe() != nil {
			t.Error("there is a pipe without descriptors")
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	giveBack(some)
	all := takeAll(t)
	defer giveBack(all)
	if len(all) != maxPipes {
		t.Errorf("then there are %d pipes, want %d", len(all), maxPipes)
	}
}
