//go:build !unix

package transport

import "github.com/seed96252745/relay/internal/conn"

// FirstByte waits for the first byte, within the read deadline of conn. The
// connection that it gives has it still.
func FirstByte(conn conn.Conn) (conn.Conn, byte, error) { return takeFirst(conn) }
