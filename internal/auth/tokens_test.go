package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
)

// hash is the hash of the secret "a", and otherHash of "b".
const (
	hash      = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	otherHash = "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
	emptyHash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func parse(t *testing.T, text string) *auth.Tokens {
	t.Helper()
	tokens, err := auth.Parse("tokens", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// Parsed tokens are written in one form, whichever form they were in.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ fields, want string }{
		{"", ""},
		{"ports=20050,20000-20010", "ports=20000-20010,20050"},
		{"tunnels=005", "tunnels=5"},
		{"users=200  usersPerSecond=50", "users=200 usersPerSecond=50"},
		{"users=2147483647", "users=2147483647"},
		{"bytesPerSecond=1", "bytesPerSecond=1"},
		{"bytesPerSecond=10M", "bytesPerSecond=10MB"},
		{"bytesPerSecond=10000000", "bytesPerSecond=10MB"},
		{"bytesPerSecond=2500k", "bytesPerSecond=2500kB"},
		{"bytesPerSecond=3G", "bytesPerSecond=3GB"},
		{"bytesPerSecond=1048576", "bytesPerSecond=1MiB"},
		{"bytesPerSecond=1024KiB", "bytesPerSecond=1MiB"},
		{"bytesPerSecond=1000KiB", "bytesPerSecond=1024kB"},
		{"bytesPerSecond=9223372036GB", "bytesPerSecond=9223372036GB"},
		{"allow=2001:db8::/32,10.0.0.0/8,10.0.0.0/8", "allow=10.0.0.0/8,2001:db8::/32"},
		{"deny=192.0.2.1,2001:db8::1", "deny=192.0.2.1,2001:db8::1"},
		{"deny=192.0.2.1/32,::ffff:10.0.0.0/104,::ffff:192.0.2.2", "deny=10.0.0.0/8,192.0.2.1,192.0.2.2"},
		{"allow=0.0.0.0/0,::/0", "allow=0.0.0.0/0,::/0"},
		{"expires=2027-01-31", "expires=2027-01-31"},
		{"expires=2027-02-01T00:00:00Z", "expires=2027-01-31"},
		{"expires=2027-01-31T18:00:00.5+02:00", "expires=2027-01-31T16:00:00.5Z"},
		{"expires=9999-12-31", "expires=9999-12-31"},
	} {
		tokens := parse(t, "# comment\r\n\n \t\n  # more\n\tdb1\t"+hash+" "+tt.fields+"\r\n")
		all := tokens.All()
		if len(all) != 1 {
			t.Fatalf("%q: got %d identities", tt.fields, len(all))
		}
		if got, want := all[0].Line(), strings.TrimSpace("db1 "+hash+" "+tt.want); got != want {
			t.Errorf("%q: got %s, want %s", tt.fields, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	const (
		secret    = "relay_PFROSMABCDEFGHIJKLMNOPQRST"
		badName   = "that is not a name: names are 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_' and '-'"
		badHash   = "that is not a hash: it must be sha256: and 64 hexadecimal digits, or an SSH public key"
		badNumber = "is not a number from 1 to 2147483647"
		badBytes  = "is not a number of bytes: write 10000000, or 10MB with kB, MB or GB, or 10MiB with KiB, MiB or GiB"
		badNet    = "is not a network: write 10.0.0.0/8 or 2001:db8::/32, or an address without /"
		badTime   = "is not a time: times are written 2027-01-31, for the end of that day in UTC, or 2027-01-31T18:00:00Z, from 1970 to 9999"
	)
	line := func(fields string) string { return "db1 " + hash + " " + fields }
	for _, tt := range []struct{ text, want string }{
		{"db/1 " + hash, "1: field 1: " + badName},
		{strings.Repeat("n", 65) + " " + hash, "1: field 1: " + badName},
		{"\n\ndb1", "3: there is only a name: sha256: and 64 hexadecimal digits must follow it, or an SSH public key"},
		{"db1 relay_ABC", "1: field 2: " + badHash},
		{"db1 sha256:ca97", "1: field 2: " + badHash},
		{"db1 sha512" + hash[6:], "1: field 2: " + badHash},
		{"db1 " + hash + "00", "1: field 2: " + badHash},
		{"db1 " + hash[:70] + "g", "1: field 2: " + badHash},
		{"db1 " + emptyHash, "1: the hash is that of an empty secret: make one with relay token new"},
		{secret + " " + hash, "1: field 1: that is a secret: a name comes first, and its owner has the secret"},
		{line("ports=" + secret), `1: ports: "relay_***" is not a port: ports are numbers from 1 to 65535`},
		{line("relay_ABC"), "1: field 3 has no '=': write key=value"},
		{line("user=5"), "1: field 3: there is no such key; keys are ports, tunnels, users, usersPerSecond, bytesPerSecond, allow, deny, expires"},
		{line("tunnels=5 users=1 tunnels=5"), "1: tunnels is given twice: write it once"},
		{line("ports="), `1: ports: "" is not a port: ports are numbers from 1 to 65535`},
		{line("ports=20-10"), `1: ports: 20-10 ends before it begins`},
		{line("tunnels=0"), `1: tunnels: "0" ` + badNumber},
		{line("tunnels=-1"), `1: tunnels: "-1" ` + badNumber},
		{line("users=2147483648"), `1: users: "2147483648" ` + badNumber},
		{line("usersPerSecond=0.5"), `1: usersPerSecond: "0.5" ` + badNumber},
		{line("bytesPerSecond=0"), `1: bytesPerSecond: "0" ` + badBytes},
		{line("bytesPerSecond=10mb"), `1: bytesPerSecond: "10mb" ` + badBytes},
		{line("bytesPerSecond=MB"), `1: bytesPerSecond: "MB" ` + badBytes},
		{line("bytesPerSecond=-1"), `1: bytesPerSecond: "-1" ` + badBytes},
		{line("bytesPerSecond=9223372037GB"), `1: bytesPerSecond: "9223372037GB" ` + badBytes},
		{line("allow="), `1: allow: "" ` + badNet},
		{line("allow=10.0.0.0/33"), `1: allow: "10.0.0.0/33" ` + badNet},
		{line("allow=example.com"), `1: allow: "example.com" ` + badNet},
		{line("deny=fe80::1%eth0"), `1: deny: "fe80::1%eth0" ` + badNet},
		{line("deny=10.0.0.1/8"), "1: deny: 10.0.0.1/8 is an address within a network: write 10.0.0.0/8 for the network, or 10.0.0.1 for the address"},
		{line("expires=31.1.2027"), `1: expires: "31.1.2027" ` + badTime},
		{line("expires=2027-02-30"), `1: expires: "2027-02-30" ` + badTime},
		// This would be the zero time, which means never.
		{line("expires=0000-12-31"), `1: expires: "0000-12-31" ` + badTime},
		{line("expires=0001-01-01T00:00:00Z"), `1: expires: "0001-01-01T00:00:00Z" ` + badTime},
		{"db1 " + hash + "\n#\ndb1 " + otherHash, "3: line 1 has the name db1 already: each line needs its own"},
		{"#\ndb1 " + hash + "\ndb2 " + strings.ToUpper(hash[7:]), "3: field 2: " + badHash},
		{"#\ndb1 " + hash + "\ndb2 sha256:" + strings.ToUpper(hash[7:]), "3: line 2 has the same hash: each line needs its own secret"},
		{"\n" + strings.Repeat("#", 4097), "2: a line has at most 4096 bytes, and this one has more"},
		{"\n" + strings.Repeat("#", 5000), "2: a line has at most 4096 bytes, and this one has more"},
		{strings.Repeat("\n", 100_001), "100001: a tokens file has at most 100000 lines"},
	} {
		tokens, err := auth.Parse("tokens", strings.NewReader(tt.text))
		if err == nil || tokens != nil || err.Error() != "tokens:"+tt.want {
			t.Errorf("%.200q: got\n%v, want\ntokens:%s", tt.text, err, tt.want)
		}
	}
}

func TestParseTheMostThereMayBe(t *testing.T) {
	longest := strings.Repeat("#", 4096)
	parse(t, longest)
	parse(t, longest+"\r\n"+longest+"\n")
	var b strings.Builder
	b.WriteString(strings.Repeat("#\n", 99_000))
	for i := range 1000 {
		fmt.Fprintf(&b, "n%d %s\n", i, auth.Hash(fmt.Sprint(i)))
	}
	tokens := parse(t, b.String())
	for _, i := range []string{"0", "999"} {
		if id, err := tokens.Identify(i, time.Now()); err != nil || id.Name != "n"+i {
			t.Errorf("%s: got %q, %v", i, id.Name, err)
		}
	}
}

// failing is a reader that fails in the middle of a line.
type failing struct{ r *strings.Reader }

var errFailing = errors.New("the disk is gone")

func (f failing) Read(b []byte) (int, error) {
	if f.r.Len() == 0 {
		return 0, errFailing
	}
	return f.r.Read(b)
}

func TestParseTellsWhatReadingTells(t *testing.T) {
	tokens, err := auth.Parse("tokens", failing{strings.NewReader("db1 " + hash + "\ndb2 " + otherHash)})
	if tokens != nil || !errors.Is(err, errFailing) {
		t.Errorf("got %v, %v", tokens, err)
	}
}

func TestIdentify(t *testing.T) {
	tokens := parse(t, "db1 "+hash+" expires=2027-01-31\ndb2 "+otherHash+"\n")
	end := time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		secret string
		at     time.Time
		name   string
		err    error
	}{
		{"a", end.Add(-1), "db1", nil},
		{"a", end, "", auth.ErrExpired},
		{"b", end, "db2", nil},
		{"", end, "", auth.ErrUnknownToken},
		{"c", end, "", auth.ErrUnknownToken},
		{hash, end, "", auth.ErrUnknownToken},
		{strings.TrimPrefix(hash, "sha256:"), end, "", auth.ErrUnknownToken},
	} {
		id, err := tokens.Identify(tt.secret, tt.at)
		if id.Name != tt.name || !errors.Is(err, tt.err) {
			t.Errorf("%q: got %q, %v", tt.secret, id.Name, err)
		}
	}
	if _, err := tokens.Identify("a", end); err.Error() != "db1: the token has expired" {
		t.Errorf("got %q", err)
	}
	if _, err := parse(t, "").Identify("a", end); !errors.Is(err, auth.ErrUnknownToken) {
		t.Errorf("without any tokens: %v", err)
	}
}

func TestCheck(t *testing.T) {
	const was = "db1 " + hash + " ports=1-5 users=3 allow=10.0.0.0/8,192.0.2.1 expires=2027-01-31"
	id, err := parse(t, was).Identify("a", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		is   string
		want error
	}{
		{was, nil},
		{"db1 " + hash + " expires=2028-01-31 allow=192.0.2.1,10.0.0.0/8 users=3 ports=1-3,4-5", nil},
		{"db1 " + hash + " ports=1-5 users=3 allow=10.0.0.0/8,192.0.2.1", nil},
		{"db1 " + hash + " ports=1-5 users=3 allow=10.0.0.0/8,192.0.2.1 expires=2026-12-31", auth.ErrExpired},
		{strings.Replace(was, "1-5", "1-4", 1), auth.ErrChanged},
		{strings.Replace(was, "users=3", "users=4", 1), auth.ErrChanged},
		{strings.Replace(was, "users=3", "users=3 usersPerSecond=1", 1), auth.ErrChanged},
		{strings.Replace(was, "users=3", "users=3 bytesPerSecond=1", 1), auth.ErrChanged},
		{strings.Replace(was, "users=3", "users=3 tunnels=1", 1), auth.ErrChanged},
		{strings.Replace(was, "users=3", "users=3 deny=::1", 1), auth.ErrChanged},
		{strings.Replace(was, "/8", "/9", 1), auth.ErrChanged},
		{strings.Replace(was, hash, otherHash, 1), auth.ErrReplaced},
		{strings.Replace(was, "db1", "db2", 1), auth.ErrRevoked},
		{"", auth.ErrRevoked},
	} {
		if err := parse(t, tt.is).Check(id, now); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.is, err, tt.want)
		}
	}
}
