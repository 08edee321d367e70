package yamux

// The internals that const_test.go pins, exported.
const (
	Version          = version
	HeaderSize       = headerSize
	TypeData         = uint8(typeData)
	TypeWindowUpdate = uint8(typeWindowUpdate)
	TypePing         = uint8(typePing)
	TypeGoAway       = uint8(typeGoAway)
	FlagSYN          = uint16(flagSYN)
	FlagACK          = uint16(flagACK)
	FlagFIN          = uint16(flagFIN)
	FlagRST          = uint16(flagRST)
	InitialWindow    = initialWindow
	GoAwayNormal     = goAwayNormal
	GoAwayProtocol   = goAwayProtocol
)

// Header is header, with fields that a test can set.
type Header struct {
	Kind           uint8
	Flags          uint16
	Stream, Length uint32
}

// AppendTo encodes h.
func (h Header) AppendTo(b []byte) []byte {
	return header{frameType(h.Kind), flags(h.Flags), h.Stream, h.Length}.appendTo(b)
}

// ParseHeader decodes a header.
func ParseHeader(b []byte) (Header, error) {
	h, err := parseHeader(b)
	return Header{uint8(h.kind), uint16(h.flags), h.stream, h.length}, err
}

// HoldSender blocks all sending until it is released, as if another goroutine had come
// first each time.
func (s *Session) HoldSender() (release func()) {
	s.out.mu.Lock()
	return s.out.mu.Unlock
}

// Unacknowledged returns how many streams the session holds because they are not
// acknowledged.
func (s *Session) Unacknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unacked.streams)
}

// FinSent reports whether the stream has sent its FIN.
func (st *Stream) FinSent() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.finSent
}
