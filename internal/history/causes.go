package history

import (
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
)

// hour is how many minutes causes are kept for.
const hour = 60

// maxCauses bounds the causes of a minute that are told apart. There are not that many:
// identifiers are a closed set.
const maxCauses = 128

// kind is what a cause is of.
type kind uint8

const (
	ends kind = iota
	resets
	refusals
)

// cause is why something ended, or was refused.
type cause struct {
	of   kind
	by   observe.Party // of ends
	word string
}

// causes counts the causes in each of the last minutes. Its methods may be called
// concurrently.
type causes struct {
	start time.Time // of minute 0

	mu      sync.Mutex // guards what follows
	minutes [hour]minute
}

// minute has what happened in one minute.
type minute struct {
	number int64 // of minutes since the start
	counts map[cause]int64
}

func (c *causes) minuteOf(t time.Time) int64 { return int64(t.Sub(c.start) / time.Minute) }

// add counts a cause.
func (c *causes) add(now time.Time, why cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number := c.minuteOf(now)
	m := &c.minutes[number%hour]
	if m.counts == nil {
		m.counts = make(map[cause]int64)
	}
	if m.number != number {
		m.number = number
		clear(m.counts)
	}
	if len(m.counts) >= maxCauses && m.counts[why] == 0 {
		why = cause{why.of, why.by, string(observe.Other)}
	}
	m.counts[why]++
}

// Causes returns the causes of the last 60 minutes, this one included.
func (h *History) Causes() api.Causes {
	c := &h.causes
	now := time.Now()
	last := c.minuteOf(now)
	all := make([]api.Minute, 0, hour)
	c.mu.Lock()
	defer c.mu.Unlock()
	for number := last - hour + 1; number <= last; number++ {
		ago := now.Sub(c.start) - time.Duration(number)*time.Minute
		said := api.Minute{
			At:   now.Add(-ago).UTC(),
			Ends: map[string]int64{}, Resets: map[string]int64{}, Refused: map[string]int64{},
		}
		if m := &c.minutes[(number+hour)%hour]; m.number == number {
			m.tell(&said)
		}
		all = append(all, said)
	}
	return api.Causes{Minutes: all}
}

func (m *minute) tell(said *api.Minute) {
	for why, n := range m.counts {
		switch why.of {
		case ends:
			said.Ends[string(why.by)+"/"+why.word] += n
		case resets:
			said.Resets[why.word] += n
		case refusals:
			said.Refused[why.word] += n
		}
	}
}
