package join

import "time"

// abortWait is how long a connection that is to be reset may go on taking what
// was written to it: a reset destroys what is still queued, and the last bytes
// are often the answer that says why.
const abortWait = time.Second

// abort resets conn after what was written to it has been acknowledged, or
// after abortWait.
func abort(conn Conn) {
	if tcp := tcpOf(carried(conn)); tcp != nil {
		AwaitDelivery(tcp)
	} else if d, ok := carried(conn).(Deliverer); ok {
		d.AwaitDelivery()
	}
	_ = conn.Reset()
}
