package main

import (
	"crypto/tls"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// renewBefore is for how long a certificate has to be valid still. Authorities renew theirs
// a month before the end, so that something is wrong by then.
const renewBefore = 7 * 24 * time.Hour

// problems returns what is wrong beside what the relay itself does.
func (n *relayNow) problems() (all []api.Problem) {
	own := n.encryption.certificate
	if n.flags.tls.acmeDomain != "" {
		own = nil // it may ask the authority
	}
	if tokens := n.flags.config.Tokens; tokens != nil {
		if text := tokens.Trouble(); text != "" {
			all = append(all, api.Problem{Code: "tokens_file", Text: "the tokens file cannot be used, and the tokens before it stay in force: " + text})
		}
	}
	if p, is := certificateProblem(own, time.Now()); is {
		all = append(all, p)
	}
	return all
}

// certificateProblem reports whether a certificate ends soon, and says when.
func certificateProblem(own getCertificate, now time.Time) (p api.Problem, is bool) {
	if own == nil {
		return p, false
	}
	cert, err := own(&tls.ClientHelloInfo{})
	if err != nil || cert.Leaf == nil || cert.Leaf.NotAfter.After(now.Add(renewBefore)) {
		return p, false
	}
	ends := cert.Leaf.NotAfter.UTC().Format(time.DateTime)
	if cert.Leaf.NotAfter.Before(now) {
		return api.Problem{Code: "certificate_expired", Text: "the certificate has expired, at " + ends + " UTC: put a new one in its place, which is read at once"}, true
	}
	return api.Problem{Code: "certificate_expires", Text: "the certificate expires at " + ends + " UTC: put a new one in its place, which is read at once"}, true
}
