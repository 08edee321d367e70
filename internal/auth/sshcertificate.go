package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/wire"
)

// SSHCertificatePrefix stands before names from certificates of SSH, which no name of a token
// and of another certificate has.
const SSHCertificatePrefix = "sshCertificate:"

// SSHAuthorities are keys that sign certificates of SSH clients. Nil is none.
type SSHAuthorities []ssh.PublicKey

// maxAuthorities bounds a file, in bytes.
const maxAuthorities = 1 << 20

// ReadSSHAuthorities reads keys, one a line, as authorized_keys and TrustedUserCAKeys of sshd
// have them. There is at least one. The error begins with the name, which is that of the file.
func ReadSSHAuthorities(name string, r io.Reader) (all SSHAuthorities, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAuthorities+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxAuthorities:
		return nil, fmt.Errorf("%s: it has more than %d bytes, and authorities have less", name, maxAuthorities)
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: that is no SSH public key: give the .pub file of the authority", name, n)
		}
		if _, is := key.(*ssh.Certificate); is {
			return nil, fmt.Errorf("%s:%d: that is a certificate: give the .pub file of the authority that has signed it", name, n)
		}
		all = append(all, key)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: there is no key: give the .pub file of the authority", name)
	}
	return all, nil
}

// Equal reports whether both are the same keys in the same order.
func (a SSHAuthorities) Equal(b SSHAuthorities) bool {
	return slices.EqualFunc(a, b, func(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) })
}

// have reports whether a key is one of an authority.
func (a SSHAuthorities) have(key ssh.PublicKey) bool {
	return slices.ContainsFunc(a, func(b ssh.PublicKey) bool { return bytes.Equal(key.Marshal(), b.Marshal()) })
}

var errSSHCertificateExpired = observe.WithReason(errors.New("the SSH certificate has expired"), observe.CertificateExpired)

// identify returns the owner of a certificate: its first principal. One for hosts, without a
// principal, or with an option that is not known, is refused. That the client comes from where
// source-address says is golang.org/x/crypto/ssh's to check.
func (a SSHAuthorities) identify(c *ssh.Certificate, now time.Time) (Identity, error) {
	if len(c.ValidPrincipals) == 0 || policy.CheckName(c.ValidPrincipals[0]) != nil {
		return Identity{}, unauthorizedSSH("the first principal of its certificate is no name")
	}
	name := c.ValidPrincipals[0]
	checker := ssh.CertChecker{
		SupportedCriticalOptions: []string{"source-address"},
		IsUserAuthority:          a.have,
		Clock:                    func() time.Time { return now },
	}
	until := endOf(c)
	if !now.Before(until) && a.have(c.SignatureKey) {
		return Identity{}, fmt.Errorf("%w; %w", &wire.Refusal{
			Code: wire.CodeExpired, Text: "this certificate has expired: ask for a new one",
		}, errSSHCertificateExpired)
	}
	if c.CertType != ssh.UserCert || !checker.IsUserAuthority(c.SignatureKey) {
		return Identity{}, unauthorizedSSH("its certificate is not one of a user, or not of an authority of --sshClientCa")
	}
	if err := checker.CheckCert(name, c); err != nil {
		return Identity{}, unauthorizedSSH(err.Error())
	}
	return Identity{
		Name: SSHCertificatePrefix + name,
		Watch: func(ended func(error)) (stop func()) {
			timer := time.AfterFunc(time.Until(until), func() {
				ended(fmt.Errorf("%w: %w", ErrIdentityChanged, errSSHCertificateExpired))
			})
			return func() { timer.Stop() }
		},
	}, nil
}

// endOf returns when a certificate expires, or a day in the 22nd century if that is later: a
// duration does not last as long as the number may.
func endOf(c *ssh.Certificate) time.Time {
	const most = 200 * 365 * 24 * time.Hour
	epoch := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	return epoch.Add(time.Duration(min(c.ValidBefore, uint64(most/time.Second))) * time.Second) //nolint:gosec // it is at most that
}
