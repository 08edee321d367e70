package transport

import (
	"net"
	"time"
)

// keepAlive returns the settings with which the kernel probes a silent peer. A user, relay
// client, relay or local server that has vanished is noticed after 31 s, so that the other
// end of the join does not wait for it. A peer from which something came within 15 s is
// not probed. The 8 probes, where 3 would take as long, are for links that lose packets:
// if each way loses one in five, 3 in a row go unanswered every five minutes, and 8 twice
// a day.
//
// While data is unacknowledged the kernel retransmits it instead of probing. Then rtoMax
// and package join decide what is noticed, and when.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 2 * time.Second, Count: 8}
}

// rtoMax is the longest pause between two retransmissions, or two probes of a closed
// window (TCP_RTO_MAX_MS, Linux 6.15 and later). By default pauses grow to two minutes,
// and a peer that answers that rarely cannot be told from one that has vanished. With 3 s
// there are ten attempts in the half minute after which package join takes a peer for
// dead: all fail, on a link that loses one packet in five each way, once in 25,000 times.
// Where a round trip takes longer, behind full buffers, some bytes are sent twice
// needlessly, and the kernel finds that out.
//
// It also shortens the time after which the kernel gives up by itself, from 15
// minutes to 40 s (tcp_retries2). Older kernels know neither: there a peer that had
// stopped reading minutes before it vanished is noticed some minutes later.
const rtoMax = 3 * time.Second
