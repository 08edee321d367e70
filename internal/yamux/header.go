package yamux

import (
	"encoding/binary"
	"fmt"
)

// The header of a frame (spec, "Framing"): version, type, flags, stream id and length,
// big-endian.
const (
	version    = 0
	headerSize = 12
)

type frameType uint8

// Types (spec, "Type Field").
const (
	typeData         frameType = 0 // length bytes of payload follow
	typeWindowUpdate frameType = 1 // the window grows by length
	typePing         frameType = 2 // length is an opaque value that is sent back
	typeGoAway       frameType = 3 // length is a reason
)

type flags uint16

// Flags (spec, "Flag Field").
const (
	flagSYN flags = 1 // opens a stream, or asks for a ping's answer
	flagACK flags = 2 // accepts a stream, or answers a ping
	flagFIN flags = 4 // ends the sender's direction
	flagRST flags = 8 // ends both directions at once
)

// Reasons of GO_AWAY (spec, "Go Away").
const (
	goAwayNormal   = 0
	goAwayProtocol = 1
)

type header struct {
	kind   frameType
	flags  flags
	stream uint32 // 0 is the session itself
	length uint32
}

// appendTo appends the encoded header to b.
func (h header) appendTo(b []byte) []byte {
	b = append(b, version, byte(h.kind))
	b = binary.BigEndian.AppendUint16(b, uint16(h.flags))
	b = binary.BigEndian.AppendUint32(b, h.stream)
	return binary.BigEndian.AppendUint32(b, h.length)
}

// parseHeader decodes the first headerSize bytes of b.
func parseHeader(b []byte) (header, error) {
	if b[0] != version {
		return header{}, fmt.Errorf("%w: version %d", ErrProtocol, b[0])
	}
	h := header{
		kind:   frameType(b[1]),
		flags:  flags(binary.BigEndian.Uint16(b[2:])),
		stream: binary.BigEndian.Uint32(b[4:]),
		length: binary.BigEndian.Uint32(b[8:]),
	}
	switch onSession := h.kind == typePing || h.kind == typeGoAway; {
	case h.kind > typeGoAway:
		return header{}, fmt.Errorf("%w: frame of type %d", ErrProtocol, h.kind)
	case !onSession && h.stream == 0:
		return header{}, fmt.Errorf("%w: frame of type %d on stream 0", ErrProtocol, h.kind)
	}
	return h, nil
}
