package join_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// Large transfers both ways at once, in pieces of odd sizes: what arrives is what
// was sent, and the result counts it to the byte.
func TestLoopCountsToTheByte(t *testing.T) {
	c := newCrowd(t, 4, 0)
	c.joinAll()
	type transfer struct{ sent, got [sha256.Size]byte }
	transfers := make([][2]transfer, len(c.far))
	sizes := make([][2]int64, len(c.far))
	var moving sync.WaitGroup
	for i := range c.far {
		for side := range 2 {
			from, to := c.far[i][side], c.far[i][1-side]
			source := rand.New(rand.NewPCG(uint64(i), uint64(side)))
			sizes[i][side] = 1<<20 + source.Int64N(5<<20) | 1
			moving.Go(func() { transfers[i][side].sent = send(t, from, sizes[i][side], source) })
			moving.Go(func() { transfers[i][side].got = receive(t, to, uint64(i+100*side)) })
		}
	}
	moving.Wait()
	for i := range c.far {
		for side, x := range transfers[i] {
			if x.sent != x.got {
				t.Errorf("join %d: what %s sent does not arrive", i, name(join.Side(side)))
			}
		}
		if r := c.wait(i); r.Err != nil || r.AToB != sizes[i][join.A] || r.BToA != sizes[i][join.B] {
			t.Errorf("join %d: got %+v, want %d bytes", i, r, sizes[i])
		}
	}
}

// send sends n random bytes, in pieces of random size, and an end.
func send(t *testing.T, to *transport.Conn, n int64, source *rand.Rand) (sum [sha256.Size]byte) {
	h := sha256.New()
	b := make([]byte, 200_001)
	for n > 0 {
		piece := b[:min(n, 1+source.Int64N(int64(len(b))))]
		if source.IntN(3) == 0 {
			piece = piece[:min(len(piece), 1+source.IntN(999))]
		}
		fillRandom(piece, source)
		h.Write(piece)
		if _, err := to.Write(piece); err != nil {
			t.Errorf("%d bytes before the end: %v", n, err)
			return sum
		}
		n -= int64(len(piece))
	}
	if err := to.CloseWrite(); err != nil {
		t.Error(err)
	}
	return sumOf(h)
}

func fillRandom(b []byte, source *rand.Rand) {
	for i := 0; i < len(b); i += 8 {
		x := source.Uint64()
		for j := i; j < min(i+8, len(b)); j++ {
			b[j] = byte(x)
			x >>= 8
		}
	}
}

// receive reads to the end, in pieces of random size.
func receive(t *testing.T, from *transport.Conn, seed uint64) [sha256.Size]byte {
	source := rand.New(rand.NewPCG(seed, 1))
	h := sha256.New()
	b := make([]byte, 100_003)
	for {
		n, err := from.Read(b[:1+source.IntN(len(b))])
		h.Write(b[:n])
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			return sumOf(h)
		}
	}
}

func sumOf(h hash.Hash) (sum [sha256.Size]byte) {
	h.Sum(sum[:0])
	return sum
}

// Peers reset, or end, anywhere in the stream. The receiver gets the beginning of what was
// sent, and an end only behind all of it.
func TestLoopRandomResets(t *testing.T) {
	const n = 120
	c := newCrowd(t, n, 0)
	all := pattern(1 << 20)
	var peers sync.WaitGroup
	var plans [n][2]plan
	for i := range n {
		source := rand.New(rand.NewPCG(20, uint64(i)))
		for side := range 2 {
			plans[i][side] = newPlan(source)
		}
		for side := range 2 {
			plans[i][side].stays = !resetsBehindEnds && plans[i][1-side].resets
		}
		joined := make(chan struct{})
		peers.Go(func() {
			c.join(i)
			close(joined)
		})
		if source.IntN(2) == 0 {
			<-joined // the peers may be quicker than the join
		}
		for side := range 2 {
			peers.Go(func() { plans[i][side].follow(c.far[i][side], all) })
		}
	}
	peers.Wait()
	for i := range n {
		for side := range 2 {
			if err := plans[i][side].check(all, plans[i][1-side]); err != nil {
				t.Errorf("join %d, %s: %v", i, name(join.Side(side)), err)
			}
		}
	}
	for i := range n {
		r := c.wait(i)
		resets := plans[i][join.A].resets || plans[i][join.B].resets
		if !resets && (r.Err != nil || r.AToB != plans[i][join.A].total() || r.BToA != plans[i][join.B].total()) {
			t.Errorf("join %d: got %+v of %+v", i, r, plans[i])
		}
		for side, counted := range [2]int64{r.AToB, r.BToA} {
			if most := plans[i][side].total(); counted > most {
				t.Errorf("join %d: counted %d bytes from %s, which sent %d", i, counted, name(join.Side(side)), most)
			}
		}
	}
}

// resetsBehindEnds has one peer reset after the other has ended.
const resetsBehindEnds = true

// plan is what one peer does: it writes pieces, and then resets or ends. It reads
// meanwhile.
type plan struct {
	pieces []int
	resets bool
	stays  bool // and neither ends nor resets, unless it does reset

	// What became of it.
	sendErr, readErr error
	got              []byte
}

func newPlan(source *rand.Rand) plan {
	p := plan{resets: source.IntN(2) == 0}
	total := source.IntN(1 << []int{4, 12, 17, 20}[source.IntN(4)])
	for total > 0 {
		piece := min(total, 1+source.IntN(100_000))
		p.pieces = append(p.pieces, piece)
		total -= piece
	}
	return p
}

func (p plan) total() (n int64) {
	for _, piece := range p.pieces {
		n += int64(piece)
	}
	return n
}

func (p *plan) follow(conn *transport.Conn, all []byte) {
	var reading sync.WaitGroup
	reading.Go(func() { p.got, p.readErr = io.ReadAll(conn) })
	for _, piece := range p.pieces {
		if _, p.sendErr = conn.Write(all[:piece]); p.sendErr != nil {
			break
		}
		all = all[piece:]
	}
	switch {
	case p.resets:
		_ = conn.Reset()
	case !p.stays:
		_ = conn.CloseWrite()
	}
	reading.Wait()
}

// check checks what a peer has got from the other one.
func (p *plan) check(all []byte, from plan) error {
	all = all[:from.total()]
	switch {
	case !bytes.HasPrefix(all, p.got):
		return fmt.Errorf("got %d bytes that are not the beginning of what was sent", len(p.got))
	case p.readErr == nil && (from.resets || len(p.got) < len(all)) && p.sendErr == nil:
		// A write that failed would have taken the reset off the socket.
		return fmt.Errorf("an end came behind %d of %d bytes; the sender resets: %t", len(p.got), len(all), from.resets)
	case p.readErr == nil, p.resets && errors.Is(p.readErr, net.ErrClosed):
		return nil
	case !errors.Is(p.readErr, syscall.ECONNRESET):
		return fmt.Errorf("behind %d bytes came %w", len(p.got), p.readErr)
	case !from.resets && !p.resets:
		return fmt.Errorf("neither peer resets, and behind %d of %d bytes came %w", len(p.got), len(all), p.readErr)
	}
	return nil
}
