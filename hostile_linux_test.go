package relay_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

const (
	// hostileRound is how long the round trips of an honest user are measured at a time:
	// some thousands of them, and several strikes of the attacker.
	hostileRound = 500 * time.Millisecond
	// strikeEvery is how often an attacker comes again after being cut off.
	strikeEvery = 100 * time.Millisecond
	// strikeSize is a little more than the useless frames that a session takes before it
	// cuts the attacker off.
	strikeSize = 16 << 10
)

// strike is what a relay client with one user, on stream 1, sends. With a size it is repeated
// up to that many bytes.
type strike struct {
	name   string
	frames []byte
	size   int
}

// yamuxFrame returns a frame of the specification. It is made here because only multiplex may
// import yamux.
func yamuxFrame(kind byte, flags uint16, stream, length uint32, body string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, kind}, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(binary.BigEndian.AppendUint32(b, length), body...)
}

func strikes() []strike {
	const data, update, ping, goAway, syn, ack, fin, rst = 0, 1, 2, 3, 1, 2, 4, 8
	var strays, window []byte
	for id := uint32(2); id < 300; id += 2 {
		strays = append(strays, yamuxFrame(update, syn, id, 0, "")...)
	}
	for range 9 {
		window = append(window, yamuxFrame(data, 0, 99, 32<<10, strings.Repeat("x", 32<<10))...)
	}
	return []strike{
		{"pings", yamuxFrame(ping, syn, 0, 1, ""), strikeSize},
		{"unasked answers", yamuxFrame(ping, ack, 0, 1, ""), strikeSize},
		{"data of zero length", yamuxFrame(data, 0, 1, 0, ""), strikeSize},
		{"window updates of 0", yamuxFrame(update, 0, 1, 0, ""), strikeSize},
		{"window overflow", yamuxFrame(update, 0, 1, 1<<31, ""), 0},
		{"wrong version", []byte{1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, 0},
		{"wrong type", yamuxFrame(4, 0, 1, 0, ""), 0},
		{"wrong flags", yamuxFrame(update, 0xfff0, 1, 0, ""), strikeSize},
		{"SYN of the relay's id", yamuxFrame(update, syn, 3, 0, ""), 0},
		{"SYNs", strays, 0},
		{"data beyond the window", yamuxFrame(data, 0, 1, 1<<20, "x"), 0},
		{"data of no stream", window, 0},
		{"4 GiB declared", yamuxFrame(data, 0, 1, 1<<32-1, ""), 0},
		{"RST of no stream", yamuxFrame(update, rst, 99, 0, ""), strikeSize},
		{"FIN of no stream", yamuxFrame(update, fin, 99, 0, ""), strikeSize},
		{"ACK of no stream", yamuxFrame(update, ack, 99, 0, ""), strikeSize},
		{"GO_AWAY 0", yamuxFrame(goAway, 0, 0, 0, ""), strikeSize},
		{"GO_AWAY 1", yamuxFrame(goAway, 0, 0, 1, ""), 0},
		{"half a header", make([]byte, 6), 0},
		// These move something forward and are not cut off.
		{"bytes one by one", yamuxFrame(data, 0, 1, 1, "x"), strikeSize},
		{"window updates of 1", yamuxFrame(update, 0, 1, 1, ""), strikeSize},
	}
}

// BenchmarkHostile measures what an attacker changes for others: the 99th percentile of the
// round trips of a user on another tunnel, with nobody else there, with a harmless relay
// client, and with the attacker, in turns. The harmless one connects, registers and has a
// user as often as the attacker, and sends as many bytes, but to a sink beside the relay. It
// reports the medians over the rounds in microseconds, and the ratio of the attacker's to
// the harmless one's.
func BenchmarkHostile(b *testing.B) {
	for _, protocol := range []relay.Protocol{relay.Multiplex, relay.Event} {
		for _, s := range strikes() {
			b.Run(string(protocol)+"/"+s.name, func(b *testing.B) { benchmarkHostile(b, protocol, s) })
		}
	}
}

func benchmarkHostile(b *testing.B, protocol relay.Protocol, s strike) {
	r, err := relaytest.New()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.Close)
	victim := dialEcho(b, forwardTo(b, r.Addr(), startEcho(b), protocol).String())
	sink := startSink(b)
	bounceFor(b, victim, hostileRound) // warms up
	loads := []func(context.Context) error{
		func(ctx context.Context) error { <-ctx.Done(); return nil },
		func(ctx context.Context) error { return s.repeat(ctx, r.Addr(), sink) },
		func(ctx context.Context) error { return s.repeat(ctx, r.Addr(), "") },
	}
	p99s := make([][]float64, len(loads))
	var ratios []float64
	for round := 0; b.Loop(); round++ {
		for i := range loads {
			i = (i + round) % len(loads)
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- loads[i](ctx) }()
			p99s[i] = append(p99s[i], bounceFor(b, victim, hostileRound))
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		}
		ratios = append(ratios, p99s[2][round]/p99s[1][round])
	}
	b.ReportMetric(0, "ns/op")
	for i, unit := range []string{"us-quiet", "us-harmless", "us-hostile"} {
		b.ReportMetric(median(p99s[i]), unit)
	}
	b.ReportMetric(median(ratios), "hostile/harmless")
}

// bounceFor bounces bytes for a while, and returns the 99th percentile of the round trips in
// microseconds.
func bounceFor(b *testing.B, conn net.Conn, d time.Duration) float64 {
	b.Helper()
	var took []float64
	buf := []byte{1}
	for start := time.Now(); time.Since(start) < d; {
		began := time.Now()
		_, err := conn.Write(buf)
		if err == nil {
			_, err = io.ReadFull(conn, buf)
		}
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, float64(time.Since(began).Nanoseconds())/1e3)
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func dialEcho(b *testing.B, addr string) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// startSink returns the address of a server that discards what it gets.
func startSink(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// repeat strikes again and again.
func (s strike) repeat(ctx context.Context, relayAddr, sink string) error {
	all := s.frames
	if s.size > 0 {
		all = bytes.Repeat(s.frames, s.size/len(s.frames)+1)
	}
	every := time.NewTicker(strikeEvery)
	defer every.Stop()
	for {
		if err := strikeOnce(relayAddr, sink, all); err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// strikeOnce registers, has a user, and sends all to the session, or to the sink if there is
// one.
func strikeOnce(relayAddr, sink string, all []byte) error {
	conn, err := net.Dial("tcp", relayAddr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "multiplex\n"); err != nil {
		return err
	}
	lines := bufio.NewReader(conn)
	port, err := lines.ReadString('\n')
	if err != nil {
		return err
	}
	user, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strings.TrimSpace(port)))
	if err != nil {
		return err
	}
	defer user.Close()
	if _, err := io.ReadFull(lines, make([]byte, 12)); err != nil { // the user's stream
		return err
	}
	to := conn
	if sink != "" {
		if to, err = net.Dial("tcp", sink); err != nil {
			return err
		}
		defer to.Close()
	}
	_, _ = to.Write(all) // fails when it is cut off
	_ = to.(*net.TCPConn).CloseWrite()
	_ = to.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.Copy(io.Discard, to) // until all of it has been seen
	return nil
}
