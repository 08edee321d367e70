package join

import (
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// abortWait is how long a connection that is to be reset may go on taking what
// was written to it: a reset destroys what is still queued, and the last bytes
// are often the answer that says why.
const abortWait = time.Second

// abort resets conn after what was written to it has been acknowledged, or
// after abortWait.
func abort(c conn.Conn) {
	if tcp := conn.TCPOf(conn.Carried(c)); tcp != nil {
		Drain(tcp)
	} else if d, ok := conn.Carried(c).(conn.Drainer); ok {
		d.Drain()
	}
	_ = c.Reset()
}
