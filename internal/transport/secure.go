package transport

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/seed96252745/relay/internal/conn"
)

// ErrPlain is the error of RequireTLS for a relay client that speaks plain text.
var ErrPlain = errors.New("it does not speak TLS, which is required")

const (
	// handshakeRecord is the first byte of TLS, with which no verb begins.
	handshakeRecord = 0x16
	// acmeProtocol is the protocol that a certificate authority asks for when it only
	// validates a name (RFC 8737). It may not go on, the less so as it need not show a
	// certificate of its own.
	acmeProtocol = "acme-tls/1"
)

// Secure waits for the first byte from a relay client. If that is TLS's, Secure completes
// the handshake and returns a *TLSConn; otherwise it returns c, from which nothing has
// been read. Without a config it returns c at once.
//
// The deadlines of c bound how long that may take. After an error the caller closes c; the
// peer has been sent no more than a TLS alert.
func Secure(c conn.Conn, config *tls.Config) (conn.Conn, error) {
	return secure(c, config, func(plain conn.Conn) (conn.Conn, error) { return plain, nil })
}

// RequireTLS is Secure, and plain text is ErrPlain. It needs a config.
func RequireTLS(c conn.Conn, config *tls.Config) (conn.Conn, error) {
	if config == nil {
		return nil, errors.New("TLS is required, and there is no certificate")
	}
	return secure(c, config, func(conn.Conn) (conn.Conn, error) { return nil, ErrPlain })
}

func secure(c conn.Conn, config *tls.Config, plain func(conn.Conn) (conn.Conn, error)) (conn.Conn, error) {
	if config == nil {
		return plain(c)
	}
	c, first, err := conn.PeekByte(c)
	switch {
	case err != nil:
		return nil, fmt.Errorf("no byte came: %w", err)
	case first != handshakeRecord:
		return plain(c)
	}
	secured := newTLSConn(c, config, tls.Server)
	if err := secured.tls.Handshake(); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	if secured.ConnectionState().NegotiatedProtocol == acmeProtocol {
		return nil, errors.New("TLS handshake: it was a certificate authority that validates a name")
	}
	return secured, nil
}
