package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	relay "github.com/seed96252745/relay/cmd/relay"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/relaytest"
)

// unlike returns what the doctor prints, without what differs in each run, or by system.
func unlike(text, control string) string {
	text = strings.ReplaceAll(text, ":"+control, ":8080")
	for _, r := range []struct{ what, by string }{
		{`^relay \S+ looks`, "relay v1 looks"},
		{`got 127\.0\.0\.1:\d+`, "got 127.0.0.1:20001"},
		{`segments of \d+ bytes pass \(MTU \d+\)|64 KiB pass each way`, "segments of 1448 bytes pass (MTU 1500)"},
		{`(protocol +)(?:multiplex|event|pool) suits this path: .*\n(?: +> try --protocol=\w+\n)?`, "${1}this one suits\n"},
		{`, \d+\.\d % sent again`, ""}, // Linux
		{`\d+(?:\.\d+)? m?s\b`, "1 ms"},
		{`\d+(?:\.\d+)? [kM]B/s\b`, "1 MB/s"},
	} {
		text = regexp.MustCompile(r.what).ReplaceAllString(text, r.by)
	}
	return text
}

func TestDoctor(t *testing.T) {
	r := relaytest.Start(t)
	_, control, err := net.SplitHostPort(r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	local, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	_, localPort, err := net.SplitHostPort(local.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ protocol, order string }{{"multiplex", "multiplex event pool"}, {"event", "event multiplex pool"}, {"pool", "multiplex event pool"}} {
		got := runRelay(t, "doctor", "--protocol", tt.protocol, "--localForwardPort", localPort, "--localForwardHost", loopback, loopback, control)
		want := `relay v1 looks from the forwarder's side, to 127.0.0.1:8080

✓ ok       name           127.0.0.1 is an address, and needs no resolver
✓ ok       connect        127.0.0.1:8080 in 1 ms
✓ ok       relay          a relay with the protocol of this version answers, in plain text and in TLS
✓ ok       encryption     plain text; the relay offers TLS, for which there is --tlsPin
✓ ok       token          none is shown, and none is asked for
✓ ok       port           got 127.0.0.1:20001, which is given back at the end
✓ ok       public port    a user from here gets to this forwarder in 1 ms, and comes from 127.0.0.1
✓ ok       large packets  segments of 1448 bytes pass (MTU 1500)
`
		for name := range strings.FieldsSeq(tt.order) {
			want += "✓ ok       " + name + strings.Repeat(" ", len("large packets  ")-len(name)) +
				"1 MiB each way and not a bit changed; half-close and reset kept; a new connection 1 ms, round trip 1 ms, up 1 MB/s, down 1 MB/s\n"
		}
		want += `✓ ok       protocol       this one suits
✓ ok       local server   127.0.0.1:` + localPort + ` accepts in 1 ms, and waits for the user to speak; whether it wants a PROXY header (--proxyProtocol) cannot be told without sending one
- skipped  idle           not asked for: --idle=2m has it looked at

0 problems, 0 warnings. Hosts and addresses are shown above; tokens and keys are not.
`
		text := unlike(got.stdout, control)
		if got.status != 0 || got.stderr != "" || text != want {
			t.Errorf("%s: status %d, stderr %q\n%s\nwant\n%s", tt.protocol, got.status, got.stderr, text, want)
		}
	}
}

// The doctor goes to one address of a name, and verifies the name.
func TestDoctorVerifiesTheName(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"crt": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	control, first := conntest.FreePort(t), conntest.FreePorts(t, 4)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- relay.Run(ctx, []string{
			control, "--bind", loopback, "--ports", fmt.Sprintf("%d-%d", first, first+3), "--stateDir", filepath.Join(dir, "state"),
			"--tlsCert", filepath.Join(dir, "crt"), "--tlsKey", filepath.Join(dir, "key"), "--requireTls", "--drain=0s",
		}, t.Output(), t.Output())
	}()
	t.Cleanup(func() {
		stop()
		if status := <-ended; status != 0 {
			t.Errorf("the relay has ended with status %d", status)
		}
	})
	awaitPort(t, control)
	r := runRelay(t, "doctor", "--tlsCa", filepath.Join(dir, "crt"), "localhost", control)
	if r.status != 0 || !strings.Contains(r.stdout, "TLS; the certificate is for localhost, until ") || !strings.Contains(r.stdout, "✓ ok       pool ") {
		t.Errorf("%+v", r)
	}
	r = runRelay(t, "doctor", "--tlsCa", filepath.Join(dir, "crt"), loopback, control)
	if r.status != 1 || !strings.Contains(r.stdout, "✗ problem  encryption     TLS with 127.0.0.1:"+control) {
		t.Errorf("%+v", r)
	}
}

// awaitPort waits until something listens on a port.
func awaitPort(t *testing.T, port string) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for since := time.Now(); time.Since(since) < patience; <-again.C {
		if conn, err := net.Dial("tcp", net.JoinHostPort(loopback, port)); err == nil {
			conn.Close()
			return
		}
	}
	t.Fatalf("nothing listens on port %s", port)
}

// doctorReport is what --json prints.
type doctorReport struct {
	Side               string
	Version            string
	Problems, Warnings int
	Checks             []doctor.Result
}

func TestDoctorJSON(t *testing.T) {
	free := conntest.FreePort(t)
	r := runRelay(t, "doctor", "--json", loopback, free)
	var report doctorReport
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	if r.status != 1 || r.stderr != "relay: the doctor has found 1 problem\n" || report.Side != "forwarder" || report.Version == "" ||
		report.Problems != 1 || len(report.Checks) < 10 || report.Checks[1].Check != "connect" || report.Checks[1].Status != doctor.Problem ||
		!strings.Contains(report.Checks[1].Found, "connection refused") || report.Checks[1].Advice == "" {
		t.Errorf("%+v: %+v", r, report)
	}

	// In text, what could not be tried is one line.
	r = runRelay(t, "doctor", loopback, free)
	if want := "- skipped  the rest       what needs that: relay, encryption, token, port, public port, large packets, multiplex, event, pool, protocol\n"; !strings.Contains(r.stdout, want) || r.status != 1 {
		t.Errorf("status %d: %s\nhas no line %q", r.status, r.stdout, want)
	}
}

// At the relay's machine the doctor finds what runs by its socket.
func TestDoctorHere(t *testing.T) {
	dir := socketDir(t)
	free := conntest.FreePort(t)
	t.Setenv("RELAY_TOKENS", filepath.Join(dir, "tokens"))
	tokens := runRelay(t, "token", "new", "--name=db1")
	if err := os.WriteFile(filepath.Join(dir, "tokens"), []byte(tokens.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	here := func(args ...string) (report doctorReport, checks map[string]doctor.Result) {
		t.Helper()
		r := runRelay(t, append([]string{"doctor", "--json", "--bind", loopback, "--ports", free, "--stateDir", dir}, args...)...)
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		checks = make(map[string]doctor.Result)
		for _, c := range report.Checks {
			checks[c.Check] = c
		}
		return report, checks
	}
	report, checks := here()
	if report.Side != "relay" || checks["tokens"].Status != doctor.OK || checks["running"].Status != doctor.OK ||
		checks["control port"].Status != doctor.Skipped || checks["state directory"].Status != doctor.OK {
		t.Errorf("%+v", report)
	}
	serveSocket(t, dir, api.Relay, 8080, newFake())
	_, checks = here()
	if c := checks["running"]; c.Status != doctor.Warning || !strings.Contains(c.Found, "the relay at port 8080: version v1.2.3") ||
		!strings.Contains(c.Found, "the local server refuses connections") {
		t.Errorf("running: %+v", c)
	}
	if c := checks["control port"]; c.Status == doctor.Skipped {
		t.Errorf("the control port of the only relay is not looked at: %+v", c)
	}
}
