package sshd

import (
	"errors"
	"io"
	"runtime"

	"golang.org/x/crypto/ssh"
	"golang.org/x/time/rate"
)

// signing bounds what key exchanges cost: a signature is most of it, and a stranger has one for
// each connection. RSA is 50 times as dear as the others and has a bound of its own, so that
// those who ask for nothing else hold up each other alone.
type signing struct{ cheap, dear chan struct{} }

func newSigning() signing {
	processors := runtime.GOMAXPROCS(0)
	return signing{cheap: make(chan struct{}, max(1, processors/2)), dear: make(chan struct{}, max(1, processors/4))}
}

// keyExchanges are what the relay offers: at 0.4 to 0.6 ms each. The others of the library have
// no client that was seen to need them, and cost 0.9 ms (P-384), 2.3 ms (P-521) and 8 ms (2048
// bits of Diffie-Hellman), which a stranger would choose.
var keyExchanges = []string{ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519, ssh.KeyExchangeECDHP256}

const (
	// rekeysPerSecond is what one client may have: OpenSSH changes keys after each GiB with
	// ChaCha20-Poly1305, and nobody was seen to do so after less than 512 MiB.
	rekeysPerSecond = 2
	rekeysBurst     = 8
)

// of returns the keys for one connection.
func (s signing) of(keys []ssh.Signer) (all []ssh.Signer) {
	limiter := rate.NewLimiter(rekeysPerSecond, rekeysBurst)
	for _, key := range keys {
		slots := s.cheap
		if key.PublicKey().Type() == ssh.KeyAlgoRSA {
			slots = s.dear
		}
		one := &signer{Signer: key, slots: slots, limiter: limiter}
		if _, ok := key.(ssh.AlgorithmSigner); ok {
			all = append(all, &algorithmSigner{one})
		} else {
			all = append(all, one)
		}
	}
	return all
}

// signer is a host key for one connection.
type signer struct {
	ssh.Signer
	slots   chan struct{}
	limiter *rate.Limiter
}

var errRekeys = errors.New("the client exchanges keys too often")

// Sign signs when it is its turn.
func (s *signer) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return s.do(func() (*ssh.Signature, error) { return s.Signer.Sign(random, data) })
}

// do signs on a goroutine of its own: the stack that it takes would stay with the connection.
func (s *signer) do(sign func() (*ssh.Signature, error)) (signature *ssh.Signature, err error) {
	if !s.limiter.Allow() {
		return nil, errRekeys
	}
	s.slots <- struct{}{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { <-s.slots }()
		signature, err = sign()
	}()
	<-done
	return signature, err
}

// algorithmSigner is a signer of a key that has several algorithms, as RSA has.
type algorithmSigner struct{ *signer }

// SignWithAlgorithm signs when it is its turn.
func (s *algorithmSigner) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	return s.do(func() (*ssh.Signature, error) {
		return s.Signer.(ssh.AlgorithmSigner).SignWithAlgorithm(random, data, algorithm)
	})
}
