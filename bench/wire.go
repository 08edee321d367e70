//go:build linux

package main

import (
	"fmt"
	"math"
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

const (
	wireBits = 100_000_000 // a second, each way
	// wireSeconds is how long a stream on a long wire may take.
	wireSeconds = 40
)

// wireConditions returns those of a wire with a round trip, and with a part of all packets
// lost. Its queue is as long as a full wire has bytes under way, there and back, and has
// at least a few packets, as in an ordinary router.
func wireConditions(roundTrip time.Duration, loss float64) netlab.Conditions {
	return netlab.Conditions{
		Bits: wireBits, Delay: roundTrip / 2, LossEvery: int(math.Round(1 / loss)),
		Queue: int(wireBits / 8 * roundTrip.Seconds()),
	}
}

// longhaulScenarios are one stream across long wires, each way.
func longhaulScenarios() (all []scenario) {
	for _, way := range []struct {
		milliseconds int
		percent      float64
		// together is a number of those that run at the same time. The first one has so
		// much to carry that it runs alone.
		together int
		// chunks of a stream, which take ten seconds or so. A fixed time would not do:
		// what is in buffers at its end may take a minute.
		chunks uint32
	}{
		{20, 0.1, 1, 230},
		{20, 1, 2, 56},
		{150, 0.1, 2, 40},
		{150, 1, 2, 8},
	} {
		name := fmt.Sprintf("longhaul-%d-%g", way.milliseconds, way.percent)
		what := fmt.Sprintf("%d ms there and back, %d Mbit/s and %g %% loss between the hops",
			way.milliseconds, wireBits/1_000_000, way.percent)
		megabytes := float64(way.chunks) * chunk / 1e6
		conditions := wireConditions(time.Duration(way.milliseconds)*time.Millisecond, way.percent/100)
		for _, s := range []scenario{
			longhaulScenario(name+"-up", fmt.Sprintf("one user sends %.1f MB to the backend, ", megabytes)+what, 1, 0, conditions),
			longhaulScenario(name+"-down", fmt.Sprintf("the backend sends %.1f MB to one user, ", megabytes)+what, 0, 1, conditions),
		} {
			s.together, s.load.Chunks, s.load.Seconds = way.together, way.chunks, wireSeconds
			all = append(all, s)
		}
	}
	return all
}

func longhaulScenario(name, about string, up, down int, conditions netlab.Conditions) scenario {
	return scenario{
		name: name, about: about,
		load: loadSpec{Kind: "bulk", Up: up, Down: down},
		columns: []column{
			{"rate", "Mbit/s", 2, more}, {"ratio", "of direct", 2, ""}, {"late", "late packets %", 1, ""},
		},
		chart:    []string{"rate"},
		figures:  func(m measurement) figures { return figures{"rate": 1000 * gigabits(m.load), "late": m.late} },
		wire:     &conditions,
		ofDirect: map[string]string{"ratio": "rate"},
		usual: func(c contender) bool {
			return c.amongFirst() || c.name == "frp"
		},
		note: fmt.Sprintf("The wire is a program, and the kernel's TCP at its ends is Reno. The contenders run at the "+
			"same time, each with a wire of its own. Losses have equal distances, and in one round the first one has the "+
			"same place on all wires. "+
			"A packet is late if it left the wire more than %s after its time. "+
			"With more than a few late ones the machine was too busy for this measurement.", netlab.Late),
	}
}
