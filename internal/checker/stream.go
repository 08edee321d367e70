package checker

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// direction is which way bytes go.
type direction byte

const (
	up   direction = 'u' // from the user to the server
	down direction = 'd'
)

// blockSize is how many bytes have a generator of their own. Any position of a
// stream can be reached by making at most so many bytes; on the other hand it
// takes a hash to begin a block.
const blockSize = 64 << 10

// stream makes the payload of one direction, in order.
type stream struct {
	nonce Nonce
	dir   direction
	at    int64
	rand  *rand.ChaCha8
}

func newStream(nonce Nonce, dir direction) *stream { return &stream{nonce: nonce, dir: dir} }

// read fills b with the next bytes.
func (s *stream) read(b []byte) {
	for len(b) > 0 {
		within := s.at % blockSize
		if s.rand == nil || within == 0 {
			s.rand = s.block(s.at / blockSize)
		}
		n := min(len(b), int(blockSize-within))
		_, _ = s.rand.Read(b[:n]) // it never fails
		s.at += int64(n)
		b = b[n:]
	}
}

func (s *stream) block(number int64) *rand.ChaCha8 {
	text := append(make([]byte, 0, 32), s.nonce[:]...)
	text = append(text, byte(s.dir))
	text = binary.BigEndian.AppendUint64(text, uint64(number))
	return rand.NewChaCha8(sha256.Sum256(text))
}

// mismatch compares b with the next bytes, and gives the index of the first
// that is another, or -1. After one that is, the stream is of no more use.
func (s *stream) mismatch(b []byte) int {
	var want [512]byte
	for done := 0; done < len(b); {
		n := min(len(want), len(b)-done)
		s.read(want[:n])
		got := b[done : done+n]
		if !bytes.Equal(got, want[:n]) {
			for i := range got {
				if got[i] != want[i] {
					return done + i
				}
			}
		}
		done += n
	}
	return -1
}

// streamAt gives n bytes from a position on. It costs at most a block.
func streamAt(nonce Nonce, dir direction, at int64, n int) []byte {
	s := newStream(nonce, dir)
	s.at = at - at%blockSize
	b := make([]byte, int(at-s.at)+n)
	s.read(b)
	return b[len(b)-n:]
}
