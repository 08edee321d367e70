package join

import (
	"net"
	"time"
)

// abortWait is how long a connection that is to be reset may go on taking what
// was written to it: a reset destroys what is still queued, and the last bytes
// are often the answer that says why.
const abortWait = time.Second

// abort resets conn after what was written to it has been acknowledged, or
// after abortWait.
func abort(conn Conn) {
	if tcp := tcpOf(conn); tcp != nil {
		waitAcknowledged(tcp, abortWait)
	}
	_ = conn.Reset()
}

// tcpOf gives the TCP connection that conn is, or nil.
func tcpOf(conn Conn) *net.TCPConn {
	if c, ok := conn.(interface{ TCP() *net.TCPConn }); ok {
		return c.TCP()
	}
	return nil
}
