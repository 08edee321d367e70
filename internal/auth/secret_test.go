package auth_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/auth"
)

// write writes a file that only its owner can read, and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewSecret(t *testing.T) {
	form := regexp.MustCompile(`^relay_[A-Z2-7]{26,}$`)
	seen := make(map[string]bool)
	for range 1000 {
		secret := auth.NewSecret()
		if !form.MatchString(secret) || seen[secret] {
			t.Fatalf("got %q", secret)
		}
		seen[secret] = true
	}
}

func TestHash(t *testing.T) {
	for secret, want := range map[string]string{"a": hash, "b": otherHash, "": emptyHash} {
		if got := auth.Hash(secret); got != want {
			t.Errorf("%q: got %s, want %s", secret, got, want)
		}
	}
}

// The results of New can be used.
func TestNew(t *testing.T) {
	id, secret, err := auth.New("db1")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"ports": "20-30", "users": "5"} {
		if err := id.Set(key, value); err != nil || id.Get(key) != value {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := id.Set("users", "many"); err == nil || id.Get("users") != "5" {
		t.Errorf("many users: %v, and %s", err, id.Get("users"))
	}
	if err := id.Set("user", "5"); err == nil || id.Get("user") != "" {
		t.Errorf("a key that there is not: %v", err)
	}
	if want := "db1 " + auth.Hash(secret) + " ports=20-30 users=5"; id.Line() != want {
		t.Errorf("got %s, want %s", id.Line(), want)
	}
	for _, name := range []string{"", "a b", "ä", "a\n", strings.Repeat("n", 65)} {
		if _, _, err := auth.New(name); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

func TestReadSecretFile(t *testing.T) {
	longest := strings.Repeat("s", 512)
	for _, tt := range []struct{ content, want, err string }{
		{content: "relay_ABC", want: "relay_ABC"},
		{content: "relay_ABC\n", want: "relay_ABC"},
		{content: "relay_ABC\r\n", want: "relay_ABC"},
		{content: "!~\n", want: "!~"},
		{content: longest + "\r\n", want: longest},
		{content: longest + "s", err: "it has more than the 512 bytes of a secret: is it another file?"},
		{content: longest + "s\r\n", err: "it has more than the 512 bytes of a secret: is it another file?"},
		{content: longest + longest + "\n", err: "it has more than the 512 bytes of a secret: is it another file?"},
		{content: "", err: "it is empty: it must hold the secret that relay token new has shown"},
		{content: "\n", err: "it is empty: it must hold the secret that relay token new has shown"},
		{content: "abc\n\n", err: "byte 4 is 0x0a: a secret is one line of letters, digits and signs, without spaces"},
		{content: "abc\r", err: "byte 4 is 0x0d: a secret is one line of letters, digits and signs, without spaces"},
		{content: " abc", err: "byte 1 is 0x20: a secret is one line of letters, digits and signs, without spaces"},
		{content: "abc\x7f", err: "byte 4 is 0x7f: a secret is one line of letters, digits and signs, without spaces"},
		{content: "ab\u00e9", err: "byte 3 is 0xc3: a secret is one line of letters, digits and signs, without spaces"},
	} {
		path := write(t, tt.content)
		got, err := auth.ReadSecretFile(path)
		if tt.err != "" {
			if err == nil || err.Error() != path+": "+tt.err {
				t.Errorf("%.20q: got %v, want %s", tt.content, err, tt.err)
			}
			continue
		}
		if got != tt.want || err != nil {
			t.Errorf("%.20q: got %.20q, %v", tt.content, got, err)
		}
	}
}

// Every reader refuses what does not exist, or is not a file.
func TestReadNotAFile(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		path, want string
		is         error
	}{
		{"", "the path of the file is empty", nil},
		{dir, dir + " is a directory, not a file", nil},
		{filepath.Join(dir, "none"), "", fs.ErrNotExist},
	} {
		_, asTokens := auth.Read(tt.path)
		_, asSecret := auth.ReadSecretFile(tt.path)
		for _, err := range []error{asTokens, asSecret} {
			if tt.is != nil && errors.Is(err, tt.is) {
				continue
			}
			if err == nil || err.Error() != tt.want {
				t.Errorf("%q: got %v, want %s", tt.path, err, tt.want)
			}
		}
	}
}

func TestConceal(t *testing.T) {
	secret := auth.NewSecret()
	for text, want := range map[string]string{
		"":                                 "",
		"the relay_state":                  "the relay_state",
		"relay_":                           "relay_",
		"relay_STATE":                      "relay_STATE",
		secret:                             "relay_***",
		"open " + secret + ": no":          "open relay_***: no",
		secret + secret + " relay_x":       "relay_***relay_*** relay_x",
		"cut off: \"" + secret[:22] + "\"": "cut off: \"relay_***\"",
	} {
		if got := auth.Conceal(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
