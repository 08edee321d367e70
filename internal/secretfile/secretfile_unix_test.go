//go:build unix

package secretfile_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/secretfile"
)

// Every mode, for files of this process and of others, on both kinds of mounts. The lab
// tests what the kernel says of them.
func TestCheck(t *testing.T) {
	const path = "secret"
	for mode := range os.FileMode(0o1000) {
		open := fmt.Sprintf("%s is open to others than its owner, with mode %04o: chmod 600 %s", path, mode, path)
		private, written := mode&0o077 == 0, mode&0o022 != 0
		for _, tt := range []struct {
			what              string
			foreign, readOnly bool
			may               bool
			more              string
		}{
			{"ours", false, false, private, "; its group may read it if it is root's, or another user's, and everybody on a read-only mount"},
			{"another's", true, false, !written && mode&0o007 == 0, ", or 640; everybody may read it on a read-only mount alone"},
			{"ours, not to be written", false, true, !written, ""},
			{"another's, not to be written", true, true, !written, ""},
		} {
			want := open + tt.more
			if written {
				want = open // the exceptions are for reading
			}
			err := secretfile.CheckAccess(path, mode, tt.foreign, tt.readOnly)
			if tt.may && err != nil || !tt.may && (err == nil || err.Error() != want) {
				t.Errorf("%s, %04o: got %v; may it: %v, want %q", tt.what, mode, err, tt.may, want)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/secret"
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file, info, err := secretfile.Open(path)
	if err != nil || info.Name() != "secret" {
		t.Fatalf("got %v, %v", info, err)
	}
	_ = file.Close()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, info, err := secretfile.Open(path); err == nil || info == nil || !strings.Contains(err.Error(), "mode 0644") {
		t.Errorf("got %v, %v, want what is wrong with which file", info, err)
	}
	for path, want := range map[string]string{"": "is empty", dir: "is a directory", dir + "/none": "no such file"} {
		if _, _, err := secretfile.Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", path, err, want)
		}
	}
}
