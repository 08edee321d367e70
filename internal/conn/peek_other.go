//go:build !unix

package conn

// PeekByte waits for the first byte, within the read deadline of c, and returns a
// connection that still has it.
func PeekByte(c Conn) (Conn, byte, error) { return takeByte(c) }
