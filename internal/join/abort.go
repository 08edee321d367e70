package join

import (
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// abortWait is how long what was written to a connection may take to be delivered before
// that is reset: a reset destroys what is still queued, and the last bytes are often the
// answer that says why.
const abortWait = time.Second

// abort resets c after what was written to it has been acknowledged, or after abortWait.
func abort(c conn.Conn) {
	if s, ok := conn.As[conn.Socket](c); ok {
		if tcp := s.TCP(); tcp != nil {
			drain(tcp)
		}
	}
	_ = c.Reset()
}
