package upgrade

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// some are messages of all shapes.
var some = []Message{
	{Kind: Hello, Version: Version, PID: 7, Name: "127.0.0.1:8080"},
	{Kind: Failed, Text: "no \x00 \xe2\x9c\x93 good"},
	{Kind: Port, Port: 20001, Holder: -1, Owner: "identity a", Paused: true, Lease: &Lease{
		Key: make([]byte, 32), Name: "web", Identity: "a", Group: "web", Ephemeral: true,
		Until: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), Before: []Place{{Port: 20002}},
	}},
	{Kind: Fencing, Port: 20001, Fence: &Fence{Key: make([]byte, 32), Served: true, Instance: "i", Superseded: []string{"j", "k"}}},
	{Kind: Ban, Source: netip.MustParsePrefix("2001:db8::/64"), Until: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)},
	{Kind: Ask, Seq: 1 << 63, Verb: "event", Key: make([]byte, 32)},
	{Kind: User, Port: 1, Remote: netip.MustParseAddrPort("[::1]:80"), Local: netip.MustParseAddrPort("127.0.0.1:1"), Read: []byte{0, 255}},
}

func TestMessages(t *testing.T) {
	for _, m := range some {
		b, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decode(b); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v comes as %+v, %v", m, got, err)
		}
	}
	if _, err := encode(Message{Kind: User, Read: make([]byte, maxMessage)}); err == nil {
		t.Error("a message that is too large can be sent")
	}
}

// What makes no sense is refused, and not taken for something else.
func TestWrongMessages(t *testing.T) {
	for _, wrong := range []string{
		"", "{}", "null", "[]", `{"kind":""}`, `{"kind":"user"} `[:10], `{"kind":"user"}{}`, `{"kind":"user","port":-1}`, `{"kind":"user","port":65536}`,
		`{"kind":"user","port":1e9}`, `{"kind":"ban","source":"x"}`, `{"kind":"ask","key":"not base64"}`, `{"kind":7}`,
		`{"kind":"` + strings.Repeat("a", maxMessage) + `"}`,
	} {
		if m, err := decode([]byte(wrong)); err == nil {
			t.Errorf("%.40q is taken for %+v", wrong, m)
		}
	}
}

// Whatever comes, a message that is taken has bounds, and comes again as it was sent.
func FuzzDecode(f *testing.F) {
	for _, m := range some {
		b, err := encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"kind":"port","lease":{"key":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		if m.Kind == "" || m.Port < 0 || m.Port > 65535 {
			t.Errorf("%q is taken for %+v", b, m)
		}
		again, err := encode(m)
		if err != nil {
			return // it was smaller, with other escapes, or has a time that cannot be written
		}
		if got, err := decode(again); err != nil || got.Kind != m.Kind || got.Port != m.Port || got.Owner != m.Owner {
			t.Errorf("%+v comes again as %+v, %v", m, got, err)
		}
	})
}
