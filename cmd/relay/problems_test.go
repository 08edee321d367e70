package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	relay "github.com/seed96252745/relay/cmd/relay"
)

func TestCertificateProblem(t *testing.T) {
	now := time.Now()
	of := func(left time.Duration) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Leaf: &x509.Certificate{NotAfter: now.Add(left)}}, nil
		}
	}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		own  func(*tls.ClientHelloInfo) (*tls.Certificate, error)
		code string
	}{
		{nil, ""},
		{func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("not yet") }, ""},
		{func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }, ""},
		{of(8 * day), ""},
		{of(6 * day), "certificate_expires"},
		{of(-time.Second), "certificate_expired"},
	} {
		p, is := relay.CertificateProblem(tt.own, now)
		if is != (tt.code != "") || p.Code != tt.code || is && p.Text == "" {
			t.Errorf("want %q, got %t, %+v", tt.code, is, p)
		}
	}
}
