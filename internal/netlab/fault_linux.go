package netlab

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Fault is something that is wrong with a lab's network from Inject until Heal. It is
// for one goroutine.
type Fault struct {
	name         string
	inject, heal []func(context.Context) error
}

// Inject breaks the network.
func (f Fault) Inject(ctx context.Context) error { return f.all(ctx, "injecting", f.inject) }

// Heal repairs the network.
func (f Fault) Heal(ctx context.Context) error { return f.all(ctx, "healing", f.heal) }

func (f Fault) all(ctx context.Context, what string, steps []func(context.Context) error) error {
	var errs []error
	for _, step := range steps {
		errs = append(errs, step(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s %s: %w", what, f.name, err)
	}
	return nil
}

// with returns a fault that is both.
func (f Fault) with(g Fault) Fault {
	return Fault{f.name, append(f.inject, g.inject...), append(g.heal, f.heal...)}
}

// rule returns a fault that is a rule in one of the host's tables.
func (h *Host) rule(name, table, chain string, match ...string) Fault {
	change := func(how string) func(context.Context) error {
		return func(ctx context.Context) error {
			return h.iptables(ctx, append([]string{"-t", table, how, chain}, match...)...)
		}
	}
	return Fault{name, []func(context.Context) error{change("-I")}, []func(context.Context) error{change("-D")}}
}

// setting returns a fault that is a wrong value of a setting of the host's kernel.
func (h *Host) setting(name, path, broken, whole string) Fault {
	change := func(value string) []func(context.Context) error {
		return []func(context.Context) error{func(context.Context) error { return h.Set(path, value) }}
	}
	return Fault{name, change(broken), change(whole)}
}

// Deaf drops packets as they arrive at the host on the device (Near or Far). The sender
// is not told: it is a black hole for one direction.
func (h *Host) Deaf(device string) Fault {
	return h.rule("one-way black hole", "raw", "PREROUTING", "-i", device, "-j", "DROP")
}

// Loss drops part of the packets that arrive at the host on the device, at random.
func (h *Host) Loss(device string, part float64) Fault {
	return h.rule(fmt.Sprintf("loss of %g %%", 100*part), "raw", "PREROUTING", "-i", device,
		"-m", "statistic", "--mode", "random", "--probability", decimal(part), "-j", "DROP")
}

// decimal formats a number without an exponent, as iptables wants it.
func decimal(part float64) string { return strconv.FormatFloat(part, 'f', 6, 64) }

// Slow has the host send so many bits a second on the device, and queue up to two
// seconds of them, as cheap modems do.
func (h *Host) Slow(device string, bits int) Fault {
	tc := func(how string, args ...string) []func(context.Context) error {
		return []func(context.Context) error{func(ctx context.Context) error {
			return h.Run(ctx, "tc", append([]string{"qdisc", how, "dev", device, "root"}, args...)...)
		}}
	}
	return Fault{
		slowly(bits), tc("replace", "tbf", "rate", strconv.Itoa(bits)+"bit", "burst", "32k", "latency", "2000ms"), tc("del"),
	}
}

func slowly(bits int) string { return fmt.Sprintf("%d kbit/s with 2 s of buffer", bits/1000) }

// UserGone drops all packets between the users and the relay.
func (l *Lab) UserGone() Fault {
	return l.Relay.Deaf(Near).with(l.User.Deaf(Far)).named("users vanish")
}

// ClientGone drops all packets between the relay and the NAT.
func (l *Lab) ClientGone() Fault {
	return l.NAT.Deaf(Near).with(l.Relay.Deaf(Far)).named("black hole both ways")
}

// LocalGone drops all packets between the client and the local server's host.
func (l *Lab) LocalGone() Fault {
	return l.Local.Deaf(Near).with(l.Client.Deaf(Far)).named("local server's host vanishes")
}

// Lossy loses part of the packets between the relay and the NAT, each way.
func (l *Lab) Lossy(part float64) Fault {
	return l.NAT.Loss(Near, part).with(l.Relay.Loss(Far, part)).named(fmt.Sprintf("loss of %g %%", 100*part))
}

// Resets has the NAT drop part of the packets, 0 to 1, and answer each with a reset in
// the name of the other side.
func (l *Lab) Resets(part float64) Fault {
	return l.NAT.rule(fmt.Sprintf("reset of %g %%", 100*part), "filter", "FORWARD", "-p", "tcp",
		"-m", "statistic", "--mode", "random", "--probability", decimal(part),
		"-j", "REJECT", "--reject-with", "tcp-reset")
}

// LinkDown takes the link between relay and NAT down at the relay.
func (l *Lab) LinkDown() Fault {
	set := func(state string) func(context.Context) error {
		return func(ctx context.Context) error { return l.Relay.IP(ctx, "link", "set", Far, state) }
	}
	// The route to the client goes with the link.
	route := func(ctx context.Context) error {
		return l.Relay.IP(ctx, "route", "replace", "203.0.113.0/24", "via", NATAddr)
	}
	return Fault{"link down", []func(context.Context) error{set("down")}, []func(context.Context) error{set("up"), route}}
}

// ShortMemory has the NAT forget connections that are silent for ten seconds, and drop
// packets of connections whose start it has not seen.
func (l *Lab) ShortMemory() Fault {
	const tracking = "net/netfilter/nf_conntrack_tcp_"
	return l.NAT.setting("", tracking+"loose", "0", "1").
		with(l.NAT.setting("", tracking+"timeout_established", "10", "432000")).
		named("NAT forgets what is silent for 10 s")
}

// Amnesia has the NAT forget all connections, once. Heal does not bring them back.
func (l *Lab) Amnesia() Fault {
	f := l.NAT.setting("", "net/netfilter/nf_conntrack_tcp_loose", "0", "1").named("NAT forgets all")
	f.inject = append(f.inject, func(ctx context.Context) error { return l.NAT.Run(ctx, "conntrack", "-F") })
	return f
}

// SmallSegments has the NAT tell both sides of new connections to send segments of so
// many bytes at most.
func (l *Lab) SmallSegments(bytes int) Fault {
	return l.NAT.rule(fmt.Sprintf("MSS of %d", bytes), "mangle", "FORWARD", "-p", "tcp",
		"--tcp-flags", "SYN,RST", "SYN", "-j", "TCPMSS", "--set-mss", strconv.Itoa(bytes))
}

// BlackHole drops packets between relay and NAT that are larger than so many bytes, each
// way, as a hop with a smaller MTU does that sends no ICMP.
func (l *Lab) BlackHole(bytes int) Fault {
	// They are dropped as they arrive. The kernel that sends them would notice if a
	// device of its own dropped them.
	swallow := func(h *Host, device string) Fault {
		return h.rule("", "raw", "PREROUTING", "-i", device, "-m", "length", "!", "--length", "0:"+strconv.Itoa(bytes), "-j", "DROP")
	}
	return swallow(l.NAT, Near).with(swallow(l.Relay, Far)).named(fmt.Sprintf("black hole above %d bytes", bytes))
}

// SlowUplink has the NAT send so many bits a second towards the relay: see Slow.
func (l *Lab) SlowUplink(bits int) Fault {
	return l.NAT.Slow(Near, bits).named("uplink of " + slowly(bits))
}

// SlowLink has relay and NAT both send so many bits a second to each other: see
// Slow.
func (l *Lab) SlowLink(bits int) Fault {
	return l.NAT.Slow(Near, bits).with(l.Relay.Slow(Far, bits)).named("link of " + slowly(bits))
}

func (f Fault) named(name string) Fault {
	f.name = name
	return f
}
