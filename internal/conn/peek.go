package conn

// PeekByte waits for the first byte, within the read deadline of c, and leaves it
// there, or returns a connection that still has it.
func PeekByte(c Conn) (Conn, byte, error) {
	first := make([]byte, 1)
	if peek := PeekerOf(c); peek != nil {
		_, err := peek(first)
		return c, first[0], err
	}
	for {
		n, err := c.Read(first)
		if n == 1 {
			return &begun{Conn: c, first: first}, first[0], nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// begun is a connection of which the first byte has been read.
type begun struct {
	Conn
	first []byte
}

// Read returns that byte alone. It must not be called concurrently before it has.
func (c *begun) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
