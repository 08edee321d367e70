//go:build linux

package main

import (
	"fmt"

	"github.com/seed96252745/relay/internal/netlab"
)

// scenario is a measurement that is made of every contender.
type scenario struct {
	name  string
	about string
	load  loadSpec
	// note is what else there is to know.
	note string
	// columns are its figures, and chart those of them that are drawn.
	columns []column
	chart   []string
	figures func(m measurement) figures
	// relayOnly says why only relays can do it, if so.
	relayOnly string
	// notDirect is true if there is nothing to measure without a hop.
	notDirect bool
	// far is how many processes run on the far side; fewer where one is enough.
	far func(c contender) int
	// settles is true if memory is measured some time after the load.
	settles bool
	// wire is what is between the two hops, if it is not the same machine.
	wire *netlab.Conditions
	// together is the same number for scenarios that run at the same time, with all
	// contenders; zero for those that take turns. Only what a wire bounds may do so.
	together int
	// ofDirect are columns that compare another column with that of the contender direct,
	// by the key of that one.
	ofDirect map[string]string
	// rounds is how often it is measured at most, if that is not zero.
	rounds int
	// longer is how many times as long as others it runs, if it is not zero.
	longer float64
	// usual reports whether a contender is measured that was not asked for; nil if each is.
	usual func(c contender) bool
}

type column struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	// Digits after the point.
	Digits int `json:"digits"`
	// Better is empty if the figures of contenders are not compared.
	Better better `json:"better,omitempty"`
}

// figures are by the key of their column. One that is missing is unknown.
type figures map[string]float64

// measurement is what one run gives.
type measurement struct {
	load      loadResult
	near, far usage   // while the load ran
	around    usage   // the same of backend and load generator
	late      float64 // percent of the wire's packets
}

func (m measurement) cpu() float64 { return (m.near.cpu + m.far.cpu).Seconds() }

const (
	warmup   = 0.2
	idleName = "idle"
	// fewConns is how many connections any contender can have.
	fewConns = 1000
	// memoryRounds are enough for memory, which no other program disturbs.
	memoryRounds = 3
	// streamsOfSession is below what a relay opens in one session of multiplex.
	streamsOfSession = 4000
	// chatterLonger is how many times as long as others a chatter runs: each user sends
	// only ten messages a second.
	chatterLonger = 2
	// stalledLonger is how many times as long as others each half of a scenario with
	// stalled users runs, as a 99th percentile needs some thousand new users.
	stalledLonger = 3
)

func allScenarios(o options) []scenario {
	all := []scenario{
		bulkScenario("upload-1", "one user sends to the backend", 1, 0),
		bulkScenario("upload-8", "8 users send to the backend", 8, 0).with(func(s *scenario) {
			s.usual = func(c contender) bool { return c.name != "ssh" && c.name != sshName }
		}),
		bulkScenario("download-1", "the backend sends to one user", 0, 1),
		echoScenario("echo-1", "64 bytes there and back, one after the other, on one connection", 1).
			with(func(s *scenario) { s.usual = contender.plain }),
		echoScenario("echo-64", "64 bytes there and back, one after the other, on each of 64 connections", 64),
		connectScenario("connect-1", "a new connection for 64 bytes there and back, one at a time", 1).
			with(func(s *scenario) { s.usual = contender.plain }),
		connectScenario("connect-64", "a new connection for 64 bytes there and back, 64 at a time", 64),
		chatterScenario(fewConns),
		mixedScenario(),
		stuckScenario(),
		stalledScenario(100),
		stalledScenario(1000),
		idleScenario(idleName, o.idle),
		idleScenario("idle-100", 100).with(func(s *scenario) { s.rounds = memoryRounds }),
		tunnelsScenario(o.tunnels),
	}
	for i := range all {
		s := &all[i]
		s.load.Seconds = o.seconds * max(s.longer, 1)
	}
	return append(all, longhaulScenarios()...)
}

// with returns the scenario after a change.
func (s scenario) with(change func(*scenario)) scenario {
	change(&s)
	return s
}

func gigabits(l loadResult) float64 { return float64(l.Bytes) * 8 / 1e9 / l.Seconds }

func bulkScenario(name, about string, up, down int) scenario {
	return scenario{
		name: name, about: about,
		load:    loadSpec{Kind: "bulk", Up: up, Down: down, Warmup: warmup},
		columns: []column{{"rate", "Gbit/s", 2, more}, {"cpu", "CPU s/GB", 3, less}},
		chart:   []string{"rate"},
		figures: func(m measurement) figures {
			return figures{"rate": gigabits(m.load), "cpu": m.cpu() / (float64(m.load.Bytes) / 1e9)}
		},
	}
}

// operationFigures are of scenarios whose result is operations.
func operationFigures(m measurement) figures {
	return figures{
		"rate": float64(m.load.Ops) / m.load.Seconds,
		"p50":  m.load.P50,
		"p99":  m.load.P99,
		"cpu":  m.cpu() * 1e6 / float64(m.load.Ops),
		// In no table: how many processors backend and load generator keep busy.
		"around": m.around.cpu.Seconds() / m.load.Seconds,
	}
}

func echoScenario(name, about string, conns int) scenario {
	return operationScenario("echo", "round trips/s", 1, name, about, conns)
}

func connectScenario(name, about string, conns int) scenario {
	return operationScenario("connect", "connections/s", 0, name, about, conns)
}

func operationScenario(kind, rate string, cpuDigits int, name, about string, conns int) scenario {
	return scenario{
		name: name, about: about,
		load: loadSpec{Kind: kind, Conns: conns, Warmup: warmup},
		columns: []column{
			{"rate", rate, 0, more}, {"p50", "p50 µs", 0, less}, {"p99", "p99 µs", 0, less}, {"cpu", "CPU µs each", cpuDigits, less},
		},
		chart:   []string{"rate"},
		figures: operationFigures,
	}
}

func mixedScenario() scenario {
	return scenario{
		name:    "mixed",
		about:   "64 bytes there and back on each of 8 connections, beside one upload and one download",
		load:    loadSpec{Kind: "mixed", Conns: 8, Up: 1, Down: 1, Warmup: warmup},
		usual:   contender.plain,
		columns: []column{{"rate", "round trips/s", 0, more}, {"p99", "p99 µs", 0, less}, {"bulk", "Gbit/s beside", 2, more}},
		chart:   []string{"rate"},
		figures: func(m measurement) figures {
			f := operationFigures(m)
			f["bulk"] = gigabits(m.load)
			return f
		},
	}
}

func stuckScenario() scenario {
	return scenario{
		name:  "stuck",
		about: "64 bytes there and back on each of 8 connections, without and with 8 other users, who never read",
		load:  loadSpec{Kind: "stuck", Conns: 8, Stuck: 8, Warmup: warmup},
		columns: []column{
			{"free", "round trips/s without", 0, ""}, {"stuck", "with", 0, ""}, {"ratio", "with/without %", 0, more},
		},
		chart: []string{"ratio"},
		usual: contender.amongFirst,
		figures: func(m measurement) figures {
			return figures{
				"free":  m.load.FreeRate,
				"stuck": m.load.StuckRate,
				"ratio": 100 * m.load.StuckRate / m.load.FreeRate,
			}
		},
	}
}

// chatterScenario is a message from each user ten times a second.
func chatterScenario(conns int) scenario {
	return scenario{
		name: "chatter",
		about: fmt.Sprintf("64 bytes there and back on each of %d connections, every %d ms",
			conns, chatterEvery.Milliseconds()),
		load: loadSpec{Kind: "chatter", Conns: conns, Warmup: warmup},
		columns: []column{
			{"rate", "round trips/s", 0, ""}, {"p50", "p50 µs", 0, less}, {"p99", "p99 µs", 0, less},
			{"cpu", "CPU µs each", 1, less},
		},
		chart:   []string{"cpu"},
		figures: operationFigures,
		longer:  chatterLonger,
		usual:   contender.plain,
	}
}

// stalledScenario is what users who never read cost a new user of the same tunnel, and
// the machine.
func stalledScenario(conns int) scenario {
	return scenario{
		name: fmt.Sprintf("stalled-%d", conns),
		about: fmt.Sprintf("new users, one after the other, without and with %d users of the same tunnel who "+
			"ask for more than they ever read", conns),
		load: loadSpec{Kind: "stalled", Stuck: conns, Warmup: warmup},
		columns: []column{
			{"alone50", "p50 µs without", 0, ""}, {"alone99", "p99 µs without", 0, ""},
			{"p50", "p50 µs with", 0, ""}, {"p99", "p99 µs with", 0, ""}, {"ratio", "p99 with/without", 2, ""},
			{"gaveup", "no echo %", 1, ""}, {"cutoff", "cut off", 0, ""},
			{"memory", "TCP MiB", 1, less}, {"memratio", "of direct", 2, ""},
			{"near", "relay MiB", 1, less}, {"far", "forwarder MiB", 1, less},
		},
		chart: []string{"memory"},
		figures: func(m measurement) figures {
			f := m.load.More
			f["near"], f["far"] = float64(m.near.memory)/(1<<20), float64(m.far.memory)/(1<<20)
			if f["cutoff"] > float64(conns)/100 {
				delete(f, "memory") // users who are gone take none
			}
			return f
		},
		ofDirect: map[string]string{"memratio": "memory"},
		longer:   stalledLonger,
		usual:    contender.amongFirst,
		note: fmt.Sprintf("A new user connects, and has the first 64 bytes back: the time is of both. One who has "+
			"no echo after %s counts with that time, and in \"no echo\". The others have a receive buffer of %d bytes; "+
			"\"cut off\" are those of them that a contender has reset, or never sent a byte: with more than a "+
			"hundredth of them there is no figure of memory. TCP is what the buffers of "+
			"all sockets of the machine took more once that grew no longer, relay and forwarder what is resident of the "+
			"two processes.", newUserPatience, stalledBuffer),
	}
}

// perItem returns the figures of what each of many things costs.
func perItem(m measurement, items float64) figures {
	return figures{
		"near":    float64(m.near.memory) / 1024 / items,
		"far":     float64(m.far.memory) / 1024 / items,
		"nearfds": float64(m.near.descriptors) / items,
		"farfds":  float64(m.far.descriptors) / items,
	}
}

func idleScenario(name string, conns int) scenario {
	return scenario{
		name:  name,
		about: fmt.Sprintf("%d idle connections, after 64 bytes there and back: what each has added", conns),
		note: fmt.Sprintf("Relay is the hop at the users' side, forwarder the one at the backend's side. "+
			"Multiplex has a forwarder for every %d. Memory is what is resident of the processes, "+
			"without the kernel's for sockets.", streamsOfSession),
		load:    loadSpec{Kind: "idle", Conns: conns},
		usual:   contender.amongFirst,
		settles: true, notDirect: true,
		columns: []column{
			{"near", "relay KiB", 2, less}, {"far", "forwarder KiB", 2, less},
			{"nearfds", "relay descriptors", 2, less}, {"farfds", "forwarder descriptors", 2, less},
		},
		chart:   []string{"near", "far"},
		figures: func(m measurement) figures { return perItem(m, float64(m.load.Ops)) },
		far: func(c contender) int {
			if c.protocol == "multiplex" {
				return (conns + streamsOfSession - 1) / streamsOfSession
			}
			return 1
		},
	}
}

func tunnelsScenario(count int) scenario {
	return scenario{
		name:      "tunnels",
		about:     fmt.Sprintf("tunnels that nobody uses, from 1 to %d: what each has added at the relay", count),
		load:      loadSpec{Kind: "tunnels", Conns: count},
		settles:   true,
		relayOnly: "only a relay has tunnels",
		usual:     contender.plainRelay,
		rounds:    memoryRounds,
		columns:   []column{{"near", "relay KiB", 1, less}, {"nearfds", "relay descriptors", 2, less}},
		chart:     []string{"near"},
		figures:   func(m measurement) figures { return perItem(m, float64(m.load.Ops-1)) },
		far:       func(contender) int { return 0 },
	}
}
