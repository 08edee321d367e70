package wire_test

import (
	"errors"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/wire"
)

var key = strings.Repeat("K", 26)

func TestPreamble(t *testing.T) {
	full := wire.Preamble{
		Token: "relay_SECRET", Lease: key, Instance: "i1", Port: 20001, Name: "db-1.test_2", Proxy: true,
		Policy: policy.Policy{
			Allow: [][]netip.Prefix{{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}},
			Deny:  []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32")},
			Users: 5, UsersPerSecond: 6, BytesPerSecond: 1 << 33,
		},
		Sessions: 4, Session: "CU7", Probe: true, Control: wire.ControlDown, Group: "web", Balance: wire.BalanceRoundRobin,
	}
	got, err := wire.ParsePreamble(full.Options())
	if err != nil || !reflect.DeepEqual(got, full) {
		t.Errorf("%+v came back as %+v, %v", full, got, err)
	}
	if options := (wire.Preamble{}).Options(); options != nil {
		t.Errorf("nothing is written as %q", options)
	}
}

// The words of docs/protocol.md, "The preamble".
func TestPinnedOptions(t *testing.T) {
	for line, want := range map[wire.Option]wire.Preamble{
		{Key: "token", Value: "secret"}:         {Token: "secret"},
		{Key: "lease", Value: key}:              {Lease: key},
		{Key: "instance", Value: "a"}:           {Instance: "a"},
		{Key: "port", Value: "65535"}:           {Port: 65535},
		{Key: "name", Value: "web"}:             {Name: "web"},
		{Key: "proxy", Value: "v2"}:             {Proxy: true},
		{Key: "users", Value: "1"}:              {Policy: policy.Policy{Users: 1}},
		{Key: "users-per-second", Value: "2"}:   {Policy: policy.Policy{UsersPerSecond: 2}},
		{Key: "bytes-per-second", Value: "300"}: {Policy: policy.Policy{BytesPerSecond: 300}},
		{Key: "sessions", Value: "256"}:         {Sessions: 256},
		{Key: "session", Value: key}:            {Session: key},
		{Key: "allow", Value: "192.0.2.1,::ffff:192.0.2.0/120"}: {Policy: policy.Policy{Allow: [][]netip.Prefix{{
			netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.0/24"),
		}}}},
		{Key: "deny", Value: "2001:db8::1/64"}: {Policy: policy.Policy{Deny: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}}},
	} {
		if got, err := wire.ParsePreamble([]wire.Option{line}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got %+v, %v; want %+v", line, got, err, want)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, line := range []wire.Option{
		{"token", ""}, {"token", "a b"}, {"token", "a\r"}, {"token", "a\nport 22"}, {"token", "p\u00e4ss"}, {"token", strings.Repeat("t", 513)},
		{"lease", key[:21]}, {"lease", ""}, {"instance", ""},
		{"port", "0"}, {"port", "65536"}, {"port", "+1"}, {"port", "01"}, {"port", ""},
		{"name", ""}, {"name", "a b"}, {"name", "a/b"}, {"name", strings.Repeat("n", 65)},
		{"proxy", ""}, {"proxy", "v1"},
		{"users", "0"}, {"users", "-1"}, {"users", "1e3"}, {"users", "99999999999"}, {"users", "+1"},
		{"probe", ""}, {"probe", "v2"}, {"probe", "v1"}, // the last one without proxy
		{"group", ""}, {"group", "a b"}, {"group", "web"}, {"balance", ""}, {"balance", "roundRobin"}, {"balance", "least"}, // web without lease, least without group
		{"sessions", "0"}, {"sessions", "257"}, {"session", ""}, {"session", "a b"}, {"session", strings.Repeat("i", 129)},
		{"bytes-per-second", "10MB"}, {"users-per-second", ""},
		{"allow", ""}, {"allow", "10.0.0.0/33"}, {"deny", "10.0.0.1,"}, {"deny", "fe80::1%eth0"},
		{"deny", strings.Repeat("10.0.0.1,", 64) + "10.0.0.1"},
	} {
		_, err := wire.ParsePreamble([]wire.Option{line})
		var bad *wire.OptionError
		if !errors.As(err, &bad) || bad.Key != line.Key {
			t.Errorf("%.40v: got %v, want an OptionError", line, err)
		} else if len(line.Value) > 9 && strings.Contains(err.Error(), line.Value) {
			t.Errorf("%v: the value is repeated: %v", line, err)
		}
	}
	twice := []wire.Option{{"port", "1"}, {"port", "1"}}
	var bad *wire.OptionError
	if _, err := wire.ParsePreamble(twice); !errors.As(err, &bad) {
		t.Errorf("twice the same: got %v", err)
	}
	var unknown *wire.UnknownOptionError
	if _, err := wire.ParsePreamble([]wire.Option{{"shape", "round"}}); !errors.As(err, &unknown) || unknown.Text != "shape" {
		t.Errorf("got %v, want that shape is unknown", err)
	}
}

// An accepted preamble is the same after it is written and parsed again, and errors can
// be shown.
func FuzzPreamble(f *testing.F) {
	for _, seed := range [][2]string{
		{"token", "relay_SECRET"}, {"lease", key}, {"port", "20001"}, {"allow", "10.0.0.0/8,::1"}, {"deny", "::ffff:10.0.0.0/104"},
		{"name", "web"}, {"users", "3"}, {"bytes-per-second", "1000000"}, {"proxy", "v2"}, {"shape", "round"},
		{"group", "web"}, {"balance", "source"},
	} {
		f.Add(seed[0], seed[1])
	}
	printable := regexp.MustCompile(`^[ -~]*$`)
	f.Fuzz(func(t *testing.T, key, value string) {
		if !printable.MatchString(key + value) {
			return // such lines are not read
		}
		p, err := wire.ParsePreamble([]wire.Option{{Key: key, Value: value}})
		if err != nil {
			if !printable.MatchString(err.Error()) {
				t.Fatalf("the error is %q", err)
			}
			return
		}
		if again, err := wire.ParsePreamble(p.Options()); err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%s %q: %+v came back as %+v, %v", key, value, p, again, err)
		}
	})
}
