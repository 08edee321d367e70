//go:build linux

package main

import (
	"context"
	"slices"
	"time"
)

// chatterEvery is how often each user of a chatter sends a message.
const chatterEvery = 100 * time.Millisecond

// chatterLoad is many users who send a message from time to time.
type chatterLoad struct{ echo echoLoad }

func (c *chatterLoad) prepare(ctx context.Context) error { return c.echo.prepare(ctx) }

func (c *chatterLoad) measure(context.Context) (loadResult, error) {
	users := c.echo.echoers
	begin := time.Now()
	samples, took, err := sideBySide(len(users), c.echo.Seconds, func(i int, end time.Time) ([]time.Duration, error) {
		// The users are spread over the time between two messages.
		first := begin.Add(chatterEvery * time.Duration(i) / time.Duration(len(users)))
		return users[i].chat(first, end)
	})
	return summarize(slices.Concat(samples...), took), err
}

// chat bounces a message each chatterEvery. A message whose time has come while the one
// before it was still under way counts from that time: a slow answer does not make fewer
// messages of it.
func (e *echoer) chat(due, end time.Time) (samples []time.Duration, err error) {
	for ; due.Before(end); due = due.Add(chatterEvery) {
		start := due
		if wait := time.Until(due); wait > 0 {
			<-time.After(wait)
			start = time.Now() // how late the timer was is not the contender's fault
		}
		if err := e.bounce(); err != nil {
			return samples, err
		}
		samples = append(samples, time.Since(start))
	}
	return samples, nil
}
