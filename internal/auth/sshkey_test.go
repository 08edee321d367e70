package auth_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/auth"
)

// newKey returns a key of SSH, and its public half as a line has it.
func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// A line may have keys in place of a secret, or beside it. Each stands for the identity.
func TestIdentifyKey(t *testing.T) {
	laptop, laptopText := newKey(t)
	desktop, desktopText := newKey(t)
	stranger, _ := newKey(t)
	secretLine := auth.Hash("secret")
	tokens := parse(t, "alice "+laptopText+" "+desktopText+" ports=20001\nbob "+secretLine+"\n")
	for _, k := range []ssh.Signer{laptop, desktop} {
		id, err := tokens.IdentifyKey(k.PublicKey(), time.Now())
		if err != nil || id.Name != "alice" || id.HasSecret() || id.Get("ports") != "20001" {
			t.Errorf("got %+v, %v", id, err)
		}
		if err := tokens.Check(id, time.Now()); err != nil {
			t.Errorf("it does not hold: %v", err)
		}
	}
	if _, err := tokens.IdentifyKey(stranger.PublicKey(), time.Now()); !errors.Is(err, auth.ErrUnknownToken) {
		t.Errorf("a stranger: %v", err)
	}
	// Nor is what everybody may know a secret: not the key's bytes, and not its line.
	for _, secret := range []string{string(laptop.PublicKey().Marshal()), laptopText, strings.Fields(laptopText)[1], ""} {
		if id, err := tokens.Identify(secret, time.Now()); !errors.Is(err, auth.ErrUnknownToken) {
			t.Errorf("the secret %.20q is %q's, %v", secret, id.Name, err)
		}
	}
	for _, id := range tokens.All() {
		again := parse(t, id.Line())
		if got := again.All()[0]; got.Line() != id.Line() {
			t.Errorf("%q came back as %q", id.Line(), got.Line())
		}
	}
}

// A key that is gone from a line ends what came with it, and nothing that came with others.
func TestCheckKey(t *testing.T) {
	laptop, laptopText := newKey(t)
	desktop, desktopText := newKey(t)
	before := parse(t, "alice "+laptopText+" "+desktopText)
	shown := func(k ssh.Signer) auth.Identity {
		id, err := before.IdentifyKey(k.PublicKey(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	onLaptop, onDesktop := shown(laptop), shown(desktop)
	after := parse(t, "alice "+auth.Hash("secret")+" "+laptopText)
	if err := after.Check(onLaptop, time.Now()); err != nil {
		t.Errorf("the key is still there: %v", err)
	}
	if err := after.Check(onDesktop, time.Now()); !errors.Is(err, auth.ErrReplaced) {
		t.Errorf("the key is gone: %v", err)
	}
	moved := parse(t, "alice "+laptopText+"\nbob "+desktopText)
	if err := moved.Check(onDesktop, time.Now()); !errors.Is(err, auth.ErrReplaced) {
		t.Errorf("the key is another one's: %v", err)
	}
	if err := parse(t, "bob "+laptopText).Check(onLaptop, time.Now()); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("the name is gone: %v", err)
	}
}

func TestParseKeyErrors(t *testing.T) {
	_, key := newKey(t)
	blob := strings.Fields(key)[1]
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // it is to be refused
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&short.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	shortText := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	for text, want := range map[string]string{
		"alice " + blob:               "1: field 2: that may be an SSH public key, whose kind is missing",
		"alice ssh-dss AAAA":          "1: field 2: keys of that kind are not taken",
		"alice ssh-ed25519":           "1: field 2: the key is missing behind ssh-ed25519",
		"alice ssh-ed25519 AAAA":      "1: field 3: that is no SSH public key",
		"alice ssh-rsa " + blob:       "1: field 3: ",
		"alice " + key + " me@laptop": "1: field 4 has no '=': write key=value, and leave out the comment",
		"alice " + key + " " + key:    "1: field 5: the SSH key is given twice",
		"alice " + shortText:          "1: field 3: an RSA key of 1024 bits is too short",
		"a " + key + "\nb " + key:     "2: line 1 has the same SSH key",
	} {
		if _, err := auth.Parse("tokens", strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), "tokens:"+want) {
			t.Errorf("%.60q: got\n%v, want\ntokens:%s", text, err, want)
		}
	}
}

// sign returns a certificate that is valid for an hour, but for what change changes.
func sign(t *testing.T, authority ssh.Signer, key ssh.PublicKey, change func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{
		Key: key, CertType: ssh.UserCert, KeyId: "the id", ValidPrincipals: []string{"alice"},
		ValidAfter: 0, ValidBefore: uint64(time.Since(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds()) + 3600,
	}
	change(c)
	if err := c.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSSHCertificates(t *testing.T) {
	authority, authorityText := newKey(t)
	other, _ := newKey(t)
	client, _ := newKey(t)
	all, err := auth.ReadSSHAuthorities("ca.pub", strings.NewReader("# ours\n"+authorityText+" comment\n"))
	if err != nil {
		t.Fatal(err)
	}
	a := auth.Authenticator{SSH: all}
	if a.Open() {
		t.Error("the relay is open")
	}
	if _, err := a.IdentifyKey(client.PublicKey()); !errors.Is(err, auth.ErrUnauthorized) {
		t.Errorf("a key alone: %v", err)
	}
	id, err := a.IdentifyKey(sign(t, authority, client.PublicKey(), func(*ssh.Certificate) {}))
	if err != nil || id.Name != "sshCertificate:alice" {
		t.Fatalf("got %q, %v", id.Name, err)
	}
	stop := id.Watch(func(error) { t.Error("it has ended") })
	stop()
	for name, change := range map[string]func(*ssh.Certificate){
		"of a host":                 func(c *ssh.Certificate) { c.CertType = ssh.HostCert },
		"of nobody":                 func(c *ssh.Certificate) { c.ValidPrincipals = []string{"a b"} },
		"an option that is unknown": func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "true"} },
		"of the future":             func(c *ssh.Certificate) { c.ValidAfter = c.ValidBefore - 1 },
	} {
		if _, err := a.IdentifyKey(sign(t, authority, client.PublicKey(), change)); !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.IdentifyKey(sign(t, other, client.PublicKey(), func(*ssh.Certificate) {})); !errors.Is(err, auth.ErrUnauthorized) {
		t.Errorf("another authority: %v", err)
	}
	forged := sign(t, authority, client.PublicKey(), func(*ssh.Certificate) {})
	forged.ValidPrincipals = []string{"bob"}
	if _, err := a.IdentifyKey(forged); !errors.Is(err, auth.ErrUnauthorized) {
		t.Errorf("a principal that was not signed: %v", err)
	}
	expired := sign(t, authority, client.PublicKey(), func(c *ssh.Certificate) { c.ValidBefore -= 7200 })
	if _, err := a.IdentifyKey(expired); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
}

func TestReadSSHAuthoritiesErrors(t *testing.T) {
	authority, text := newKey(t)
	client, _ := newKey(t)
	certificate := base64.StdEncoding.EncodeToString(sign(t, authority, client.PublicKey(), func(*ssh.Certificate) {}).Marshal())
	for content, want := range map[string]string{
		"":                   "ca.pub: there is no key",
		"# nothing\n":        "ca.pub: there is no key",
		text + "\nrubbish\n": "ca.pub:2: that is no SSH public key",
		"ssh-ed25519-cert-v01@openssh.com " + certificate: "ca.pub:1: that is a certificate",
		string(bytes.Repeat([]byte("#"), 1<<20+1)):        "ca.pub: it has more than",
	} {
		if _, err := auth.ReadSSHAuthorities("ca.pub", strings.NewReader(content)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", content, err, want)
		}
	}
}
