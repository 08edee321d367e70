package checker

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"time"
)

// Nonce names a connection.
type Nonce [16]byte

// String is in hexadecimal, and empty for the zero Nonce, which nobody has.
func (n Nonce) String() string {
	if n == (Nonce{}) {
		return ""
	}
	return hex.EncodeToString(n[:])
}

// MarshalText is like String.
func (n Nonce) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (n *Nonce) UnmarshalText(text []byte) error {
	*n = Nonce{}
	if len(text) != 0 && len(text) != 2*len(n) {
		return errors.New("checker: a nonce has 32 digits")
	}
	_, err := hex.Decode(n[:], text)
	return err
}

// Plan is what is to happen on a connection. The user sends it in its header,
// so that the server does its part.
type Plan struct {
	Run   uint64 `json:"run"`
	Index uint64 `json:"index"` // of the connection in its run
	Nonce Nonce  `json:"nonce"`
	Mode  Mode   `json:"mode"`
	Seed  uint64 `json:"seed"`
	// Up and Down are bytes of payload. Where the server echoes, down comes what
	// went up.
	Up   int64 `json:"up"`
	Down int64 `json:"down"`
	// Linger is how long the pause of the mode is, or how long its slow side
	// takes in all. Zero is no pause and full speed. Whole milliseconds travel.
	Linger time.Duration `json:"linger"`
}

// NewPlan derives the plan of one connection. The same arguments give the same
// plan, with the same bytes. Sizes that the mode has no use for become 0.
func NewPlan(run, seed, index uint64, mode Mode, up, down int64, linger time.Duration) Plan {
	text := append([]byte("relay checker"), make([]byte, 24)...)
	binary.BigEndian.PutUint64(text[13:], run)
	binary.BigEndian.PutUint64(text[21:], seed)
	binary.BigEndian.PutUint64(text[29:], index)
	sum := sha256.Sum256(text)
	p := Plan{Run: run, Index: index, Nonce: Nonce(sum[:]), Mode: mode, Seed: seed, Linger: linger / time.Millisecond * time.Millisecond}
	if mode.up() {
		p.Up = up
	}
	if mode.down() {
		p.Down = down
	}
	if mode == Trickle {
		p.Up = min(up, maxTrickle)
	}
	return p
}

// maxTrickle is how many bytes are sent one by one at most: enough for every
// edge there is near the beginning, in a second or so.
const maxTrickle = 4 << 10

const (
	headerMagic = "RLYcheck"
	helloMagic  = "RLYhello"
	// HeaderSize is how many bytes the user sends before its payload.
	HeaderSize = 8 + 8 + 8 + 16 + 4 + 4 + 8 + 8 + 8 + 4
	// HelloSize is how many bytes the server sends before its payload.
	HelloSize = 8 + 16 + 16 + 4
)

// header gives the bytes that begin what a user sends.
func (p Plan) header() []byte {
	b := append(make([]byte, 0, HeaderSize), headerMagic...)
	b = binary.BigEndian.AppendUint64(b, p.Run)
	b = binary.BigEndian.AppendUint64(b, p.Index)
	b = append(b, p.Nonce[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Mode))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Linger.Milliseconds()))
	b = binary.BigEndian.AppendUint64(b, p.Seed)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Up))
	b = binary.BigEndian.AppendUint64(b, uint64(p.Down))
	return seal(b)
}

// parseHeader reads a header. It is an error if one byte of it is wrong.
func parseHeader(b []byte) (Plan, error) {
	if !sealed(b, headerMagic, HeaderSize) {
		return Plan{}, errors.New("checker: the connection does not begin with a user's header")
	}
	p := Plan{
		Run:    binary.BigEndian.Uint64(b[8:]),
		Index:  binary.BigEndian.Uint64(b[16:]),
		Nonce:  Nonce(b[24:40]),
		Mode:   Mode(binary.BigEndian.Uint32(b[40:])),
		Linger: time.Duration(binary.BigEndian.Uint32(b[44:])) * time.Millisecond,
		Seed:   binary.BigEndian.Uint64(b[48:]),
		Up:     int64(binary.BigEndian.Uint64(b[56:])),
		Down:   int64(binary.BigEndian.Uint64(b[64:])),
	}
	if p.Mode < Echo || p.Mode > SlowRead || p.Up < 0 || p.Down < 0 {
		return Plan{}, errors.New("checker: a header of another version")
	}
	return p, nil
}

// hello gives the bytes that begin what the server sends: its own nonce, and
// the user's, or zero if it has not heard it yet.
func hello(server, user Nonce) []byte {
	b := append(make([]byte, 0, HelloSize), helloMagic...)
	b = append(b, server[:]...)
	b = append(b, user[:]...)
	return seal(b)
}

func parseHello(b []byte) (server, user Nonce, err error) {
	if !sealed(b, helloMagic, HelloSize) {
		return Nonce{}, Nonce{}, errors.New("checker: the connection does not begin with a server's hello")
	}
	return Nonce(b[8:24]), Nonce(b[24:40]), nil
}

// seal appends the checksum of b.
func seal(b []byte) []byte { return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }

func sealed(b []byte, magic string, size int) bool {
	if len(b) != size || string(b[:len(magic)]) != magic {
		return false
	}
	body := b[:size-4]
	return crc32.ChecksumIEEE(body) == binary.BigEndian.Uint32(b[size-4:])
}
