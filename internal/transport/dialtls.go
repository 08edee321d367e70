package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/sockerr"
)

// SecureRelay encrypts conn, which leads to the relay, and verifies the relay as config
// says, within 10 seconds. It never goes on in plain text. It takes conn over, and has
// reset it if it fails. Its errors say what to do.
//
// Config names the server, unless it verifies no name. TLS 1.3 is the minimum.
func SecureRelay(ctx context.Context, conn conn.Conn, config *tls.Config) (conn.Conn, error) {
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS13)
	config.DynamicRecordSizingDisabled = true // it is for browsers, and costs system calls
	c := newTLSConn(conn, config, tls.Client)
	patience, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	err := c.tls.HandshakeContext(patience)
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case patience.Err() != nil:
		err = errors.New("the relay does not speak TLS: it says nothing")
	default:
		err = explainTLS(err, config.VerifyConnection != nil)
	}
	relay := conn.RemoteAddr()
	_ = conn.Reset()
	return nil, fmt.Errorf("TLS with %s: %w", relay, err)
}

// explainTLS says what to do about a handshake that has failed. A relay that is pinned
// fails for want of an authority or a name only if the operator has asked for both.
func explainTLS(err error, pinned bool) error {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		plain   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown) && pinned:
		return fmt.Errorf("the authorities in --tlsCa do not vouch for the relay's certificate: "+
			"give the certificate of one that does, or leave --tlsCa out, as --tlsPin alone is enough (%w)", err)
	case errors.As(err, &unknown):
		// Its pin is not shown: it should come from the relay, and not from an attacker who
		// may have answered.
		return fmt.Errorf("no authority that is trusted here vouches for the relay's certificate: "+
			"use --tlsCa with the certificate of one that does, or --tlsPin with the pin that the relay has logged (%w)", err)
	case errors.As(err, &name) && isNameless(name.Certificate) && pinned:
		return fmt.Errorf("the relay's certificate has no name, as one that it has made itself: "+
			"leave --tlsCa out, as --tlsPin alone is enough (%w)", err)
	case errors.As(err, &name) && isNameless(name.Certificate):
		return fmt.Errorf("the relay's certificate has no name, as one that it has made itself: "+
			"use --tlsPin with the pin that the relay has logged (%w)", err)
	case errors.As(err, &name):
		return fmt.Errorf("the relay's certificate is for another name: reach it by a name of the certificate, "+
			"or use --tlsServerName (%w)", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return explainExpired(invalid, err)
	case errors.As(err, &plain):
		return fmt.Errorf("the relay does not speak TLS: it answered in plain text (%w)", err)
	case isVersionAlert(err):
		return fmt.Errorf("the server does not speak TLS 1.3, which every relay does: is this the relay's port? (%w)", err)
	case errors.Is(err, conn.ErrTruncated), errors.Is(err, io.EOF), sockerr.Is(err, syscall.ECONNRESET, syscall.EPIPE):
		return fmt.Errorf("the relay does not speak TLS, or has no room: it closed the connection (%w)", err)
	}
	return err
}

func isNameless(cert *x509.Certificate) bool {
	return cert != nil && len(cert.DNSNames)+len(cert.IPAddresses) == 0
}

// explainExpired is explainTLS for a certificate outside of its time.
func explainExpired(invalid x509.CertificateInvalidError, err error) error {
	cert := invalid.Cert
	if cert == nil {
		return err
	}
	when := fmt.Sprintf("expired on %s: renew it", cert.NotAfter.UTC().Format(time.DateTime))
	if time.Now().Before(cert.NotBefore) {
		when = fmt.Sprintf("is valid from %s on: wait until then", cert.NotBefore.UTC().Format(time.DateTime))
	}
	return fmt.Errorf("the relay's certificate %s, or correct the clock of this machine (%w)", when, err)
}

// isVersionAlert reports whether a server knows no TLS as new as ours. It may send an
// alert, or choose an older version; crypto/tls has no names for these errors.
func isVersionAlert(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err.Error() == "tls: protocol version not supported"
	}
	return strings.HasPrefix(err.Error(), "tls: server selected unsupported protocol version")
}
