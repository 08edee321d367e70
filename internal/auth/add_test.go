package auth_test

import (
	"os"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/auth"
)

// A token that is added holds at once, and after the file was read again; the other lines
// stay as they are.
func TestAdd(t *testing.T) {
	for name, content := range map[string]string{
		"no line": "", "a line": "# those who may\n", "a line without an end": "# those who may",
	} {
		with(t, content, func(r *rig) {
			secret, err := r.Add("db1")
			if err != nil {
				r.Fatal(err)
			}
			r.wantIdentity(secret, "db1")
			other, err := r.Add("db2")
			if err != nil {
				r.Fatal(err)
			}
			if err := r.Reload(); err != nil {
				r.Fatal(err)
			}
			r.wantIdentity(secret, "db1")
			r.wantIdentity(other, "db2")
			after, err := os.ReadFile(r.path)
			if err != nil || !strings.HasPrefix(string(after), content) || strings.Contains(string(after), secret) {
				r.Errorf("%s: the file is %q, %v", name, after, err)
			}
		})
	}
}

func (r *rig) wantIdentity(secret, name string) {
	r.Helper()
	if id, err := r.Identify(secret); err != nil || id.Name != name {
		r.Errorf("the token of %s is that of %q, %v", name, id.Name, err)
	}
}

// What cannot be added leaves the file as it is.
func TestAddIsRefused(t *testing.T) {
	const content = "db1 sha256:0000000000000000000000000000000000000000000000000000000000000000\n"
	for name, want := range map[string]string{
		"db1": "a token of that name already", "a b": "not a name", "": "not a name", auth.NewSecret(): "that is a secret",
	} {
		with(t, content, func(r *rig) {
			if secret, err := r.Add(name); err == nil || !strings.Contains(err.Error(), want) {
				r.Errorf("%q: %q, %v", name, secret, err)
			}
			if after, err := os.ReadFile(r.path); err != nil || string(after) != content {
				r.Errorf("%q: the file is %q, %v", name, after, err)
			}
		})
	}
	with(t, content, func(r *rig) {
		r.overwrite("nonsense\n")
		if _, err := r.Add("db2"); err == nil {
			r.Error("a token was added to a wrong file")
		}
		if after, err := os.ReadFile(r.path); err != nil || string(after) != "nonsense\n" {
			r.Errorf("the wrong file is %q, %v", after, err)
		}
	})
}
