package auth_test

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
)

// wantError matches the errors of Parse.
var wantError = regexp.MustCompile(`^tokens:([0-9]+): [ -~]+$`)

// Whatever a file contains, either Parse accepts it, and what is written parses to the
// same; or the error names one of its lines.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "# comment\n\n", "db1 " + hash, "db1 " + hash + " ports=20000-20010,20050 tunnels=5 users=200 usersPerSecond=50\r\n",
		"db1 " + hash + " bytesPerSecond=10MiB allow=10.0.0.0/8,2001:db8::/32 deny=::ffff:10.0.0.1 expires=2027-01-31\ndb2 " + otherHash,
		"db1 " + hash + " expires=2027-01-31T18:00:00.5+02:00", "a " + hash + "\na " + otherHash, "a " + hash + "\nb " + hash,
		"db1 " + hash + " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBI0VniaVniavN4SNFZ4kBI0VniaVniavN4SNFZ4kBI0 ports=20001",
		"db1 relay_ABC", "db1 " + hash + " tunnels=5 tunnels=5", "db1 " + hash + " bytesPerSecond=9223372036854775808",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		tokens, err := auth.Parse("tokens", bytes.NewReader(in))
		if err != nil {
			match := wantError.FindStringSubmatch(err.Error())
			if match == nil {
				t.Fatalf("%q: the error is %q", in, err)
			}
			if n, _ := strconv.Atoi(match[1]); n < 1 || n > bytes.Count(in, []byte("\n"))+1 {
				t.Fatalf("%q: %q is about no line", in, err)
			}
			return
		}
		var lines []string
		for _, id := range tokens.All() {
			lines = append(lines, id.Line())
			if len(id.Line()) > 4096 {
				return // by a byte or two, where there is a shorter form
			}
		}
		written := strings.Join(lines, "\n")
		again, err := auth.Parse("tokens", strings.NewReader(written))
		if err != nil {
			t.Fatalf("%q was read and written as %q: %v", in, written, err)
		}
		same := again.All()
		for i, id := range tokens.All() {
			if err := again.Check(id, time.Time{}); err != nil || same[i].Line() != lines[i] || !same[i].Expires.Equal(id.Expires) {
				t.Fatalf("%q: %+v was written as %s and read as %+v: %v", in, id, lines[i], same[i], err)
			}
		}
	})
}
