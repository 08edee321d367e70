package history

import (
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

// causes counts the causes in each of the last minutes. Its owner locks it.
type causes struct{ minutes [hour]minute }

// minute has what happened in one minute.
type minute struct {
	number int64 // of minutes since the start
	counts map[cause]int64
}

// add counts a cause, so long after the start.
func (c *causes) add(at time.Duration, why cause) {
	number := int64(at / time.Minute)
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
	now := time.Now()
	passed := now.Sub(h.start)
	last := int64(passed / time.Minute)
	all := make([]api.Minute, 0, hour)
	h.mu.Lock()
	defer h.mu.Unlock()
	for number := last - hour + 1; number <= last; number++ {
		ago := passed - time.Duration(number)*time.Minute
		said := api.Minute{
			At:   now.Add(-ago).UTC(),
			Ends: map[string]int64{}, Resets: map[string]int64{}, Refused: map[string]int64{},
		}
		if m := &h.causes.minutes[(number+hour)%hour]; m.number == number {
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
