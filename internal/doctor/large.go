package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// largePackets finds out whether segments as large as they get pass on the way to the relay.
func (f *Forwarder) largePackets(ctx context.Context) Finding {
	if f.tunnel == nil || f.unusable {
		return skipped("no user gets through: see above")
	}
	v, err := f.tunnel.visitWith(ctx, modeBytes, largeSize, net.Dialer{})
	if err != nil {
		return problem("see public port above: it has worked a moment ago", "a user from here to %s: %s", f.tunnel.public, whyNot(err))
	}
	defer v.close()
	_, _, err = v.bytes(f.Patience)
	info, known := lookAt(v.user)
	switch {
	case errors.Is(err, errStalled):
		return f.explainStall(ctx, v, info)
	case err != nil:
		return problem(adviceForBytes(err), "%s", Plain(err.Error()))
	case known:
		return ok("segments of %d bytes pass (MTU %d)", info.segment, info.mtu)
	}
	return ok("%s pass each way", Amount(largeSize))
}

// explainStall tells a hop that swallows what is large from one that swallows everything.
func (f *Forwarder) explainStall(ctx context.Context, v *visit, info tcpInfo) Finding {
	f.stalled = true
	arrived, way := v.up.Load(), "to the relay"
	if arrived == v.size {
		arrived, way = v.down.Load(), "from the relay"
	}
	if err := f.smallPasses(ctx); err != nil {
		return problem("try again; if it stays so, look for a middlebox between here and the relay, and at the relay's limits",
			"after %s %s nothing passes any more: %s", Amount(arrived), way, whyNot(err))
	}
	if arrived >= smallSegment {
		return problem("the path loses much: look for a bad cable, radio link or overloaded uplink:   mtr "+f.Host,
			"%s %s stall after %s, while small ones pass", Amount(v.size), way, Amount(arrived))
	}
	size := "large packets"
	if info.segment > 0 {
		size = fmt.Sprintf("segments of %d bytes (MTU %d)", info.segment, info.mtu)
	}
	return problem("a hop has a smaller MTU, and its ICMP does not get here (path MTU black hole), as with VPN, PPPoE and some clouds: "+
		"lower the MTU of this machine's network device (ip link set dev eth0 mtu 1400), or have the kernel find it: sysctl net.ipv4.tcp_mtu_probing=1, "+
		"on this machine and on the relay's; routers can clamp the MSS",
		"%s %s vanish, while small ones pass", size, way)
}

func (f *Forwarder) smallPasses(ctx context.Context) error {
	v, err := f.tunnel.visit(ctx, modePing)
	if err != nil {
		return err
	}
	defer v.close()
	return v.ping(ctx)
}
