package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/transport"
)

// RenewSoon is when a certificate is to be renewed at the latest: authorities renew theirs
// with a third of their time left, which is a month.
const RenewSoon = 14 * 24 * time.Hour

// encryption verifies the relay as the forwarder would.
func (f *Forwarder) encryption(ctx context.Context) Finding {
	switch {
	case !f.is.relay && (f.TLS == nil || f.is.chain == nil):
		return skipped(unanswered)
	case f.TLS != nil:
		return f.verify(ctx)
	case !f.is.plain:
		return problem("add --tlsPin with the pin that the relay logs when it starts, or --tls if its certificate is from an authority",
			"the relay admits nobody in plain text (--requireTls), and this line has no TLS flag")
	case f.Token:
		return warning("add --tlsPin with the pin that the relay logs when it starts, or --tls: others on the way can read the token and take the port",
			"plain text: the token and all bytes go in the clear")
	case f.is.tls:
		return ok("plain text; the relay offers TLS, for which there is --tlsPin")
	}
	return ok("plain text; the relay has no TLS")
}

// verify speaks TLS with the relay as the forwarder does.
func (f *Forwarder) verify(ctx context.Context) Finding {
	config := f.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName = f.Host
	}
	conn, err := transport.DialRelay(ctx, f.addr)
	if err != nil {
		return problem("try again: it has answered a moment ago", "connecting: %s", whyNot(err))
	}
	secured, err := transport.SecureRelay(ctx, conn, config)
	if err != nil {
		f.is.relay = false // to this forwarder
		return problem(f.adviceForTLS(err), "%s", Plain(err.Error()))
	}
	_ = secured.Close()
	leaf := f.leaf()
	if leaf == nil {
		return ok("TLS, verified")
	}
	if f.Pinned {
		return ok("TLS; the relay has the key of --tlsPin")
	}
	found := fmt.Sprintf("TLS; the certificate is for %s, until %s", NamesOf(leaf), Day(leaf.NotAfter))
	if left := time.Until(leaf.NotAfter); left < RenewSoon {
		return warning("renew it at the relay, or have it renewed: --acmeDomain does so by itself",
			"%s: that is in %d days", found, int(left/(24*time.Hour)))
	}
	return ok("%s", found)
}

func (f *Forwarder) leaf() *x509.Certificate {
	if len(f.is.chain) == 0 {
		return nil
	}
	return f.is.chain[0]
}

// adviceForTLS returns what to do beside what the error itself says.
func (f *Forwarder) adviceForTLS(err error) string {
	leaf := f.leaf()
	if leaf == nil {
		return "the relay has no TLS: leave the flags out, or have it get a state directory, in which it keeps a certificate"
	}
	now := time.Now()
	shown := fmt.Sprintf("it shows a certificate for %s, good from %s until %s", NamesOf(leaf), Day(leaf.NotBefore), Day(leaf.NotAfter))
	var invalid x509.CertificateInvalidError
	switch {
	case now.Before(leaf.NotBefore):
		return shown + fmt.Sprintf(": by the clock here it is %s, so this clock is probably wrong:   timedatectl", Moment(now))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return shown + fmt.Sprintf("; by the clock here it is %s", Moment(now))
	}
	return shown
}

// NamesOf returns who a certificate is for. An authority, or an attacker, has chosen that.
func NamesOf(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name"
	}
	const most = 4
	text := Plain(Some(names, most))
	return strings.ReplaceAll(text, ";", "?")
}

// Day returns the day of a time, for people.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// Moment returns a time to the minute, for people.
func Moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
