package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/sockerr"
)

const (
	// checkSize is what goes each way through each protocol.
	checkSize = 1 << 20
	// largeSize is a few dozen of the largest segments.
	largeSize = 64 << 10
	// smallSegment is as much as every segment may have (RFC 9293, section 3.7.1). Less than
	// that is what has come of no large one.
	smallSegment = 536
	// bytesTimeout bounds the checks of one protocol: 1 MiB each way at 200 kbit/s.
	bytesTimeout = 90 * time.Second
	// pings are enough for a median.
	pings = 7
)

// tcpInfo is what the kernel knows of a connection, from TCP_INFO of tcp(7).
type tcpInfo struct {
	sent, again  int64 // segments with data, and those that were sent again
	segment, mtu int   // bytes
}

// lost returns the part of the segments that were sent again, 0 to 1.
func (i tcpInfo) lost() float64 {
	if i.sent == 0 {
		return 0
	}
	return float64(i.again) / float64(i.sent)
}

// errSlow is why a measurement was not waited for.
var errSlow = errors.New("all bytes are right so far, and they are slow")

// errStalled is the cause when bytes stand still.
var errStalled = errors.New("bytes stand still")

// bytes sends v.size bytes each way, one direction after the other, and compares all of them.
// It returns errStalled when nothing has arrived for as long as patience.
func (v *visit) bytes(patience time.Duration) (up, down time.Duration, err error) {
	done := make(chan struct{})
	var watch sync.WaitGroup
	var stalled error
	watch.Go(func() { stalled = v.watch(done, patience) })
	begin := time.Now()
	err = v.sendAndReceive()
	end := time.Now()
	close(done)
	watch.Wait()
	if stalled != nil {
		return 0, 0, stalled
	}
	if err != nil {
		return 0, 0, err
	}
	if err := <-v.served; err != nil {
		return 0, 0, fmt.Errorf("at this forwarder: %w", err)
	}
	half := v.uploaded.Load()
	return half.Sub(begin), end.Sub(*half), nil
}

func (v *visit) sendAndReceive() error {
	if _, err := io.Copy(v.user, v.random('u')); err != nil {
		return err
	}
	if err := v.user.CloseWrite(); err != nil {
		return err
	}
	return v.receive(v.user, 'd', &v.down)
}

// watch ends the visit when nothing has arrived for as long as patience.
func (v *visit) watch(done <-chan struct{}, patience time.Duration) error {
	const looks = 8
	look := time.NewTicker(patience / looks)
	defer look.Stop()
	last, still := int64(-1), 0
	for {
		select {
		case <-done:
			return nil
		case <-look.C:
		}
		now := v.up.Load() + v.down.Load()
		if now != last {
			last, still = now, 0
			continue
		}
		if still++; still >= looks {
			_ = v.user.SetDeadline(time.Unix(1, 0))
			return errStalled
		}
	}
}

func adviceForBytes(err error) string {
	if errors.Is(err, errChanged) {
		return "something between here and the relay changes or cuts bytes, as a proxy or a scanner does: find it, or encrypt with --tlsPin; " +
			"without such a thing please report it as a bug of Relay"
	}
	if errors.Is(err, errStalled) {
		return "the path loses much, or the connection to the relay was lost meanwhile: its log says so; and see large packets above"
	}
	return "a middlebox between here and the relay ends connections, or the relay has met a limit: its log says so"
}

// Measured are figures of one protocol, as a user from here has them: through the relay, and
// back.
type Measured struct {
	FirstByteSeconds   float64 `json:"firstByteSeconds"` // of a new connection
	RoundTripSeconds   float64 `json:"roundTripSeconds"`
	UpBytesPerSecond   float64 `json:"upBytesPerSecond"`
	DownBytesPerSecond float64 `json:"downBytesPerSecond"`
	// Lost is the part of the segments that were sent again, 0 to 1, or nil where the
	// system does not say.
	Lost *float64 `json:"lost,omitempty"`
}

// protocolFigures are those of a protocol that works.
type protocolFigures struct {
	name string
	Measured
}

// protocol has a user's bytes go through a tunnel of one protocol.
func (f *Forwarder) protocol(ctx context.Context, name string) Finding {
	switch {
	case f.tunnel == nil && f.opened != nil, !f.is.relay:
		return skipped("there is no port: see above")
	case f.unusable:
		return skipped("the public port cannot be reached: see above")
	case f.stalled:
		return skipped("large packets do not pass: see above")
	}
	if name != f.Protocols[0] || f.tunnel == nil {
		var err error
		f.tunnel, err = f.openAgain(ctx, name, noticeTime) // there may be one at a time
		switch {
		case isFull(err):
			return skipped("there is no second tunnel to be had: %s", Plain(err.Error()))
		case err != nil:
			return problem("take another protocol, or see the relay's log", "no tunnel: %s", Plain(err.Error()))
		}
	}
	m, err := f.tunnel.measure(ctx, f.Patience)
	if err == nil {
		err = f.tunnel.resets(ctx)
	}
	switch {
	case errors.Is(err, errSlow):
		return warning("see whether something else uses the line, and whether the relay or the token bounds a tunnel (bytesPerSecond)", "%s", Plain(err.Error()))
	case err != nil:
		return problem(adviceForBytes(err), "%s", Plain(err.Error()))
	}
	f.measured = append(f.measured, protocolFigures{name, m})
	found := fmt.Sprintf("%s each way and not a bit changed; half-close and reset kept; a new connection %s, round trip %s, up %s, down %s",
		Amount(checkSize), seconds(m.FirstByteSeconds), seconds(m.RoundTripSeconds), megabytes(m.UpBytesPerSecond), megabytes(m.DownBytesPerSecond))
	if m.Lost != nil {
		found += fmt.Sprintf(", %.1f %% sent again", 100**m.Lost)
	}
	result := ok("%s", found)
	result.Measured = &m
	return result
}

func seconds(s float64) string { return Millis(time.Duration(s * float64(time.Second))) }

// measure measures what a user gets.
func (t *tunnel) measure(ctx context.Context, patience time.Duration) (m Measured, err error) {
	small, err := t.visit(ctx, modePing)
	if err != nil {
		return m, fmt.Errorf("a user from here: %w", err)
	}
	defer small.close()
	m.FirstByteSeconds = small.firstByte.Seconds()
	var trips []time.Duration
	for range pings {
		begin := time.Now()
		if err := small.ping(ctx); err != nil {
			return m, fmt.Errorf("a byte and its answer: %w", err)
		}
		trips = append(trips, time.Since(begin))
	}
	slices.Sort(trips)
	m.RoundTripSeconds = trips[len(trips)/2].Seconds()
	large, err := t.visitWith(ctx, modeBytes, checkSize, net.Dialer{})
	if err != nil {
		return m, fmt.Errorf("a user from here: %w", err)
	}
	defer large.close()
	begin := time.Now()
	up, down, err := large.bytes(patience)
	if err != nil && ctx.Err() != nil {
		arrived := large.up.Load() + large.down.Load()
		return m, fmt.Errorf("%w: %s of %s in %s, %s", errSlow, Amount(arrived), Amount(2*checkSize), Millis(time.Since(begin)),
			megabytes(rateOf(arrived, time.Since(begin))))
	}
	if err != nil {
		return m, fmt.Errorf("%s up (%d have come) and down (%d): %w", Amount(checkSize), large.up.Load(), large.down.Load(), err)
	}
	m.UpBytesPerSecond, m.DownBytesPerSecond = rateOf(checkSize, up), rateOf(checkSize, down)
	if info, known := lookAt(large.user); known {
		m.Lost = new(info.lost())
	}
	return m, nil
}

// resets checks that a reset of either end is one at the other, and no end in order: a cut
// answer must not pass for a whole one.
func (t *tunnel) resets(ctx context.Context) error {
	v, err := t.visit(ctx, modeReset)
	if err != nil {
		return fmt.Errorf("a user from here: %w", err)
	}
	defer v.close()
	if err := v.user.SetDeadline(time.Now().Add(t.wait)); err != nil {
		return err
	}
	if _, err := v.user.Write([]byte{greeting}); err != nil {
		return fmt.Errorf("a user from here: %w", err)
	}
	if _, err := v.user.Read(make([]byte, 1)); !sockerr.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%w: a reset by the server comes to the user as %s", errChanged, arrivedAs(err))
	}
	left, err := t.visit(ctx, modeLeaves)
	if err != nil {
		return fmt.Errorf("a user from here: %w", err)
	}
	left.close() // which resets
	select {
	case err = <-left.served:
	case <-ctx.Done():
		return fmt.Errorf("%w: a reset by the user does not come to the server", errChanged)
	}
	if err == nil {
		return fmt.Errorf("%w: a reset by the user comes to the server as an end", errChanged)
	}
	return nil
}

func arrivedAs(err error) string {
	switch {
	case err == nil:
		return "a byte"
	case isEnd(err):
		return "an end"
	}
	return Plain(err.Error())
}
