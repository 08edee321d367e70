package sshd_test

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/sshd"
)

// connectWith connects a client that has exactly these methods.
func connectWith(t *testing.T, addr, user string, methods ...ssh.AuthMethod) error {
	t.Helper()
	tcp, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	c, _, _, err := ssh.NewClientConn(tcp, addr, &ssh.ClientConfig{User: user, Auth: methods, HostKeyCallback: ssh.FixedHostKey(hostKey().PublicKey())})
	if err == nil {
		_ = c.Close()
	}
	return err
}

var noQuestions = ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
	return make([]string, len(questions)), nil
})

// An open relay lets in everybody: with a key, without one, and by the method none whose user
// name asks for it.
func TestOpenLogin(t *testing.T) {
	addr := start(t).ssh
	for name, err := range map[string]error{
		"a key":              connectWith(t, addr, "me", ssh.PublicKeys(newKey())),
		"no question":        connectWith(t, addr, "me", noQuestions),
		"none, asked for":    connectWith(t, addr, "auth+none"),
		"none, and a name":   connectWith(t, addr, "name+web+auth+none"),
		"a key after a wish": connectWith(t, addr, "auth+none", ssh.PublicKeys(newKey())),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"none":       connectWith(t, addr, "me"),
		"a password": connectWith(t, addr, "me", ssh.Password("secret")),
	} {
		if err == nil {
			t.Errorf("%s was let in", name)
		}
	}
}

// tokens returns the tokens file with these lines, in force.
func tokens(t *testing.T, lines ...string) *auth.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := auth.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// A relay with tokens lets in whom it knows, and nobody else by any method.
func TestTokenLogin(t *testing.T) {
	alice, stranger := newKey(), newKey()
	file := tokens(t, "alice "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(alice.PublicKey()))), "bob "+auth.Hash("secret"))
	r := start(t, func(c *node.Config) { c.Tokens = file })
	for name, err := range map[string]error{
		"her key":             connectWith(t, r.ssh, "me", ssh.PublicKeys(alice)),
		"another key first":   connectWith(t, r.ssh, "me", ssh.PublicKeys(stranger, newKey(), alice)),
		"a secret":            connectWith(t, r.ssh, "me", ssh.Password("secret")),
		"at the control port": connectWith(t, r.control, "me", ssh.Password("secret")),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"none":           connectWith(t, r.ssh, "auth+none"),
		"no question":    connectWith(t, r.ssh, "me", noQuestions),
		"a stranger":     connectWith(t, r.ssh, "me", ssh.PublicKeys(stranger)),
		"a wrong secret": connectWith(t, r.ssh, "me", ssh.Password("wrong")),
		"no secret":      connectWith(t, r.ssh, "me", ssh.Password("")),
		// What everybody may know of a key is no secret.
		"a public key":   connectWith(t, r.ssh, "me", ssh.Password(string(alice.PublicKey().Marshal()))),
		"a hash":         connectWith(t, r.ssh, "me", ssh.Password(auth.Hash("secret"))),
		"a forged key":   connectWith(t, r.ssh, "me", ssh.PublicKeys(pretender{alice.PublicKey(), stranger})),
		"nothing at all": connectWith(t, r.ssh, "me"),
	} {
		if err == nil {
			t.Errorf("%s was let in", name)
		}
	}
	dial(t, r.ssh, "me", alice).forward(t, "localhost", 0)
	r.says("tunnel_opened", "identity=alice")
}

// pretender shows a key that it has not.
type pretender struct {
	shown ssh.PublicKey
	ssh.Signer
}

func (p pretender) PublicKey() ssh.PublicKey { return p.shown }

// A client whose key is taken away is cut off, with its users.
func TestRevokedKey(t *testing.T) {
	alice := newKey()
	line := "alice " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(alice.PublicKey())))
	path := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(line)
	file, err := auth.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := start(t, func(c *node.Config) { c.Tokens = file })
	defer r.close() // before the file
	c := dial(t, r.ssh, "me", alice)
	l, public := c.forward(t, "localhost", 0)
	echo(t, l)
	talk(t, user(t, public))
	write("bob " + auth.Hash("secret"))
	if err := file.Reload(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	r.says("tunnel_closed", "token_revoked")
}

// Host keys are made once, and one that is there and cannot be used is an error: a new one would
// look like an attack.
func TestHostKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := sshd.HostKeys(dir)
	if err != nil || len(first) != 3 {
		t.Fatalf("got %d keys, %v", len(first), err)
	}
	second, err := sshd.HostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		if a, b := ssh.FingerprintSHA256(first[i].PublicKey()), ssh.FingerprintSHA256(second[i].PublicKey()); a != b {
			t.Errorf("the key was %s, and is %s", a, b)
		}
	}
	path := filepath.Join(dir, "ssh_host_ed25519_key")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sshd.HostKeys(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a key that is none: %v", err)
	}
}

// A banned address gets no key exchange, and does not learn whether a secret is right.
func TestBannedLogin(t *testing.T) {
	file := tokens(t, "bob "+auth.Hash("secret"))
	r := start(t, func(c *node.Config) { c.Tokens = file })
	var shown, guessed bool
	guess := ssh.PasswordCallback(func() (string, error) { // who has connected before
		guessed = true
		return "secret", r.Ban(netip.MustParsePrefix(loopback+"/32"), time.Hour)
	})
	if err := connectWith(t, r.ssh, "me", guess); err == nil || !guessed {
		t.Errorf("a right guess: %v, guessed %v", err, guessed)
	}
	for _, addr := range []string{r.ssh, r.control} {
		_, err := ssh.Dial("tcp", addr, &ssh.ClientConfig{HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error {
			shown = true
			return nil
		}})
		if err == nil || shown {
			t.Errorf("%v, with a key of the relay's: %v", err, shown)
		}
	}
}
