//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// maxSamples bounds what is measured on one connection.
const maxSamples = 2_000_000

// echoLoad bounces messages, one at a time on each connection.
type echoLoad struct {
	*loader
	echoers []*echoer
}

func (e *echoLoad) prepare(ctx context.Context) error {
	for i := range e.Conns {
		conn, err := e.dial(ctx)
		if err != nil {
			return err
		}
		e.echoers = append(e.echoers, newEchoer(conn, e.pattern, uint16(i)))
	}
	if _, err := e.bounceAll(e.Warmup); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	return nil
}

func (e *echoLoad) measure(context.Context) (loadResult, error) {
	return e.bounceAll(e.Seconds)
}

func (e *echoLoad) bounceAll(seconds float64) (loadResult, error) {
	samples, took, err := sideBySide(len(e.echoers), seconds, func(i int, end time.Time) ([]time.Duration, error) {
		return e.echoers[i].bounceUntil(end)
	})
	return summarize(slices.Concat(samples...), took), err
}

// bounceUntil bounces at least one message.
func (e *echoer) bounceUntil(end time.Time) (samples []time.Duration, err error) {
	samples = make([]time.Duration, 0, 1<<16)
	for last := time.Now(); last.Before(end) || len(samples) == 0; {
		if err := e.bounce(); err != nil {
			return samples, err
		}
		now := time.Now()
		samples = append(samples, now.Sub(last))
		if last = now; len(samples) == maxSamples {
			break
		}
	}
	return samples, nil
}

// mixedLoad is small messages beside large streams.
type mixedLoad struct {
	echo echoLoad
	bulk bulkLoad
}

func (m *mixedLoad) prepare(ctx context.Context) error {
	if err := m.echo.prepare(ctx); err != nil {
		return err
	}
	return m.bulk.prepare(ctx)
}

func (m *mixedLoad) measure(ctx context.Context) (loadResult, error) {
	var bulk loadResult
	var bulkErr error
	var other sync.WaitGroup
	other.Go(func() { bulk, bulkErr = m.bulk.measure(ctx) })
	result, err := m.echo.measure(ctx)
	other.Wait()
	// The streams end a little later than the messages.
	result.Bytes = int64(float64(bulk.Bytes) * result.Seconds / bulk.Seconds)
	return result, errors.Join(err, bulkErr)
}

// stuckLoad is small messages, first alone, and then beside users who never read.
type stuckLoad struct{ echo echoLoad }

func (s *stuckLoad) prepare(ctx context.Context) error { return s.echo.prepare(ctx) }

func (s *stuckLoad) measure(ctx context.Context) (loadResult, error) {
	free, err := s.echo.measure(ctx)
	if err != nil {
		return free, err
	}
	if err := s.stick(ctx); err != nil {
		return free, err
	}
	stuck, err := s.echo.measure(ctx)
	stuck.FreeRate = float64(free.Ops) / free.Seconds
	stuck.StuckRate = float64(stuck.Ops) / stuck.Seconds
	return stuck, err
}

// stick has the backend send to users who do not read, and waits until nothing moves
// there any more.
func (s *stuckLoad) stick(ctx context.Context) error {
	l := s.echo.loader
	var conns []*net.TCPConn
	for i := range l.Stuck {
		conn, err := l.dial(ctx)
		if err != nil {
			return err
		}
		conns = append(conns, conn)
		if _, err := conn.Write(header(modeDownload, uint16(i))); err != nil {
			return fmt.Errorf("sending a header: %w", err)
		}
	}
	// It is still if so many looks in a row find no more than a trickle: segments for
	// which the kernel had no memory are sent again for minutes.
	const still, trickle = 15, 1000
	total, same := 0, 0
	for looks := 0; same < still; looks++ {
		if looks == 1000 {
			return errors.New("users who do not read got ever more bytes")
		}
		<-time.After(retry)
		now, all := 0, true
		for _, conn := range conns {
			n, err := unread(conn)
			if err != nil {
				return err
			}
			now, all = now+n, all && n > 0
		}
		if same++; now-total > total/trickle || !all {
			total, same = now, 0
		}
	}
	return nil
}
