package checker

import (
	"fmt"
	"slices"
	"time"
)

// Summary is a run in figures. Durations are in nanoseconds.
type Summary struct {
	Users      int         `json:"users"`
	Complete   int         `json:"complete"` // that ended with FIN on both sides, or as planned by a reset
	Ends       map[End]int `json:"ends"`     // how what users received ended
	Unused     int         `json:"unused"`   // connections of the server on which nobody came
	Violations int         `json:"violations"`
	Up         int64       `json:"up"`   // bytes that the server received
	Down       int64       `json:"down"` // bytes that users received
	// FirstByte is from dialling to the first byte of the server, of users of
	// modes in which it does not wait for all of theirs.
	FirstByte Quantiles `json:"firstByte"`
	// Reset is from a planned reset to when the other side was told.
	Reset Quantiles `json:"reset"`
	// Gap is the longest that a connection without planned pauses stood still.
	Gap time.Duration `json:"gap"`
	// Lasted is from the first user's beginning to the last one's end.
	Lasted time.Duration `json:"lasted"`
	// Throughput is bytes per second, of both directions together.
	Throughput float64 `json:"throughput"`
}

// Quantiles of durations.
type Quantiles struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50"`
	P95   time.Duration `json:"p95"`
	P99   time.Duration `json:"p99"`
	Max   time.Duration `json:"max"`
}

func quantiles(all []time.Duration) Quantiles {
	if len(all) == 0 {
		return Quantiles{}
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))] }
	return Quantiles{Count: len(all), P50: at(0.5), P95: at(0.95), P99: at(0.99), Max: all[len(all)-1]}
}

func (v *verifier) summarize() Summary {
	s := Summary{Users: len(v.order), Ends: make(map[End]int), Unused: len(v.silent), Violations: len(v.found)}
	var first, resets []time.Duration
	var began, ended time.Time
	for _, user := range v.order {
		s.Ends[user.ReadEnd]++
		s.Down += user.Received
		if user.FirstByte > 0 && user.Mode.script().prompt {
			first = append(first, user.FirstByte)
		}
		if user.Linger == 0 {
			s.Gap = max(s.Gap, user.Gap)
		}
		if began.IsZero() || user.Start.Before(began) {
			began = user.Start
		}
		if end := user.Start.Add(user.End); end.After(ended) {
			ended = end
		}
		if user.ReadEnd == EndFIN && user.WriteEnd == EndFIN {
			s.Complete++
		}
		for _, server := range v.servers[user.Nonce] {
			s.Up += server.Received
			if delay, ok := resetDelay(user, server); ok {
				resets = append(resets, delay)
				s.Complete++
			}
		}
	}
	s.FirstByte, s.Reset = quantiles(first), quantiles(resets)
	s.Lasted = ended.Sub(began)
	if s.Lasted > 0 {
		s.Throughput = float64(s.Up+s.Down) / s.Lasted.Seconds()
	}
	return s
}

// resetDelay gives how long a planned reset took to the other side.
func resetDelay(user, server *Record) (time.Duration, bool) {
	from, to := resetEnds(user, server)
	if from.WriteEnd != EndOwnReset || (to.ReadEnd != EndReset && to.WriteEnd != EndReset) {
		return 0, false
	}
	return to.Start.Add(to.End).Sub(from.Start.Add(from.End)), true
}

// resetEnds returns the side that is to reset, and the other one.
func resetEnds(user, server *Record) (from, to *Record) {
	if user.Mode == UserReset {
		return user, server
	}
	return server, user
}

// Figures are what a process holds at a quiet moment.
type Figures struct {
	Goroutines  int   `json:"goroutines"`
	Descriptors int   `json:"descriptors"`
	HeapBytes   int64 `json:"heapBytes"`
}

const (
	// slack is how many goroutines and descriptors may come and go: those of
	// timers, a scavenger, a log that is being rotated.
	slack = 5
	// heapGrowth and heapFloor bound the heap. Below the floor, buffers that are
	// kept for the next connection make more than half of it.
	heapGrowth = 1.5
	heapFloor  = 8 << 20
)

// Leaks compares a process before a run with the same one after it, once
// everything has ended (I7).
func Leaks(process string, before, after Figures) []Violation {
	var found []Violation
	leak := func(what string, before, after any) {
		found = append(found, Violation{Invariant: "I7", Text: fmt.Sprintf("%s: %s: %v before, %v after", process, what, before, after)})
	}
	if after.Goroutines > before.Goroutines+slack {
		leak("goroutines", before.Goroutines, after.Goroutines)
	}
	if after.Descriptors > before.Descriptors+slack {
		leak("descriptors", before.Descriptors, after.Descriptors)
	}
	if float64(after.HeapBytes) > heapGrowth*float64(max(before.HeapBytes, heapFloor)) {
		leak("bytes of heap", before.HeapBytes, after.HeapBytes)
	}
	return found
}
