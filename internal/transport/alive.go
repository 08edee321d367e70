package transport

import (
	"net"
	"time"
)

// keepAlive has the kernel ask a peer that says nothing whether it is there. One
// that has vanished, be it a user, a relay client, a relay or a local server, is
// noticed after 31 s, so that whoever is at the other end of the join does not
// wait for it. Nothing is asked of a peer from which something came within 15 s.
// The 8 probes, where 3 would take as long, are for links that lose packets: if
// each way loses one in five, 3 in a row go unanswered every five minutes, and 8
// twice a day.
//
// While bytes are under way the kernel sends them again instead of probing. What
// is noticed then, and when, is up to rtoMax and to package join.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 2 * time.Second, Count: 8}
}

// rtoMax is the longest pause between two attempts to get bytes, or an answer
// about a closed window, through to the peer (TCP_RTO_MAX_MS, Linux 6.15 and
// later). By default pauses grow to two minutes, and a peer that answers that
// rarely cannot be told from one that has gone. With 3 s there are ten attempts
// in the half minute after which package join takes a peer for dead: all fail, on
// a link that loses one packet in five each way, once in 25,000 times. Where a
// round trip takes longer, behind buffers that are full, some bytes are sent
// twice, and the kernel finds out that they need not have been.
//
// It also shortens the time after which the kernel gives up by itself, from 15
// minutes to 40 s (tcp_retries2). Older kernels know neither: a peer that had
// stopped reading minutes before it vanished is noticed by them some minutes
// later.
const rtoMax = 3 * time.Second
