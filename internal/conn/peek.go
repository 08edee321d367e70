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

// Begun returns c as a connection that still has what was read of it. Read must not be called
// concurrently before it has returned that.
func Begun(c Conn, read []byte) Conn {
	if len(read) == 0 {
		return c
	}
	return &begun{Conn: c, first: read}
}

// begun is a connection of which something has been read.
type begun struct {
	Conn
	first []byte
}

// Unwrap is Wrapper's.
func (c *begun) Unwrap() (inner Conn, sameBytes bool) { return c.Conn, len(c.first) == 0 }

// Read returns what was read alone. It must not be called concurrently before it has.
func (c *begun) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		if c.first = c.first[n:]; len(c.first) == 0 {
			c.first = nil // the array goes with it
		}
		return n, nil
	}
	return c.Conn.Read(b)
}
