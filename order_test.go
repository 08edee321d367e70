package relay_test

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// turns is a registration whose users come in turns.
type turns struct {
	*introducer
	ports []int // of the users that were handed on, in this order
}

// eachTurn runs a test with a fake clock.
func eachTurn(t *testing.T, test func(t *testing.T, o *turns)) {
	synctest.Test(t, func(t *testing.T) {
		o := &turns{introducer: newIntroducer(t, waitedFor)}
		test(t, o)
		o.end()
	})
}

// user has a user come, who is known by the port, with the header that the relay writes.
func (o *turns) user(t *testing.T, port int, turn proxyproto.Sequence) {
	t.Helper()
	near, far := conntest.Memory()
	o.accept(o.ctx, near)
	addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port}
	header, err := proxyproto.HeaderWithDetails(addr, somewhere, proxyproto.Details{Sequence: turn})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write(header); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	o.take()
}

// take notes the users who are handed on by now.
func (o *turns) take() {
	for {
		select {
		case conn := <-o.conns:
			<-o.came
			o.ports = append(o.ports, conn.RemoteAddr().(*net.TCPAddr).Port)
			_ = conn.Close()
			synctest.Wait()
		default:
			return
		}
	}
}

func (o *turns) want(t *testing.T, ports ...int) {
	t.Helper()
	if !slices.Equal(o.ports, ports) {
		t.Fatalf("%v were handed on, want %v", o.ports, ports)
	}
}

// The user who comes first is handed on first, whichever connection is quickest. A user
// without a predecessor does not wait.
func TestOrder(t *testing.T) {
	eachTurn(t, func(t *testing.T, o *turns) {
		began := time.Now()
		o.user(t, 13, proxyproto.Sequence{Number: 3, After: 2})
		o.user(t, 12, proxyproto.Sequence{Number: 2, After: 1})
		o.want(t)
		o.user(t, 14, proxyproto.Sequence{Number: 4})
		o.user(t, 15, proxyproto.Sequence{})
		o.want(t, 14, 15)
		o.user(t, 11, proxyproto.Sequence{Number: 1})
		o.want(t, 14, 15, 11, 12, 13)
		o.user(t, 16, proxyproto.Sequence{Number: 5, After: 3})
		o.want(t, 14, 15, 11, 12, 13, 16)
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// The next user waits a tenth of a second for one who stalls or has gone, and no longer, and
// so do the users after that.
func TestOrderOfStalled(t *testing.T) {
	eachTurn(t, func(t *testing.T, o *turns) {
		o.user(t, 12, proxyproto.Sequence{Number: 2, After: 1})
		<-time.After(100*time.Millisecond - 1)
		o.user(t, 13, proxyproto.Sequence{Number: 3, After: 2})
		o.want(t)
		<-time.After(1)
		synctest.Wait()
		o.take()
		o.want(t, 12, 13)
		o.user(t, 11, proxyproto.Sequence{Number: 1}) // late
		o.want(t, 12, 13, 11)
	})
}

// A user whose header is not valid passes the turn to the next user.
func TestOrderOfFailed(t *testing.T) {
	eachTurn(t, func(t *testing.T, o *turns) {
		near, far := conntest.Memory()
		o.accept(o.ctx, near)
		o.user(t, 12, proxyproto.Sequence{Number: 2, After: 1})
		o.want(t)
		_ = far.Close()
		<-time.After(100 * time.Millisecond)
		synctest.Wait()
		o.take()
		o.want(t, 12)
	})
}

// A user who waits when the registration ends is reset, and wait returns after that.
func TestOrderAtTheEnd(t *testing.T) {
	eachTurn(t, func(t *testing.T, o *turns) {
		o.user(t, 12, proxyproto.Sequence{Number: 2, After: 1})
		o.end()
		<-time.After(100 * time.Millisecond)
		synctest.Wait()
		o.want(t)
	})
}

// More users are remembered as handed on than a relay lets wait, and all users before
// those.
func TestOrderOfMany(t *testing.T) {
	eachTurn(t, func(t *testing.T, o *turns) {
		const many = 3000
		for n := range uint64(many) {
			o.user(t, int(n)+1, proxyproto.Sequence{Number: n + 1, After: n})
		}
		o.user(t, many+1, proxyproto.Sequence{Number: many + 1, After: 1})
		o.user(t, many+2, proxyproto.Sequence{Number: many + 2, After: many - 1000})
		if n := len(o.ports); n != many+2 || !slices.IsSorted(o.ports) {
			t.Error(fmt.Sprint(n, " were handed on, want ", many+2, " in order"))
		}
	})
}
