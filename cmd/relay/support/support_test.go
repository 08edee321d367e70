package support_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/cmd/relay/support"
	"github.com/seed96252745/relay/internal/api"
)

// process answers each page with a text that has what must not leave as it is.
type process struct{ without string }

const secret = "relay_ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func (p process) Get(_ context.Context, path string) ([]byte, error) {
	if path == p.without {
		return nil, errors.New("not found")
	}
	return []byte(`{"path":"` + path + `","token":"` + secret + `","address":"192.0.2.7:1000"}`), nil
}

func (p process) Recent(context.Context) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		_ = yield(api.Event{Event: "user_done", Fields: map[string]any{"user": "192.0.2.7:1000"}}, nil) &&
			yield(api.Event{Event: "user_done", Fields: map[string]any{"user": "[2001:db8::1]:1001"}}, nil) &&
			yield(api.Event{}, io.EOF)
	}
}

// unpack returns the files of a bundle.
func unpack(t *testing.T, bundle []byte) map[string]string {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(bundle))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	archive := tar.NewReader(zipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if header.Mode != 0o600 {
			t.Errorf("%s has the mode %o", header.Name, header.Mode)
		}
		files[header.Name] = string(content)
	}
}

func TestBundle(t *testing.T) {
	b := &support.Bundle{Made: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	b.AddMachine("v1.2.3")
	b.AddProcess(t.Context(), "relay-8080", process{without: "/metrics"})
	var out bytes.Buffer
	if err := b.Write(&out, "report"); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, out.Bytes())
	want := []string{
		"report/machine.txt", "report/missing.txt", "report/relay-8080/bans.json", "report/relay-8080/causes.json", "report/relay-8080/ended.json",
		"report/relay-8080/events.jsonl", "report/relay-8080/goroutines.txt", "report/relay-8080/heap.pb.gz", "report/relay-8080/limits.json",
		"report/relay-8080/refusals.json", "report/relay-8080/settings.json", "report/relay-8080/status.json", "report/relay-8080/tunnels.json",
		"report/relay-8080/users.json", "report/version.txt",
	}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("it has\n%q, want\n%q", got, want)
	}
	for name, content := range files {
		if name != "report/relay-8080/heap.pb.gz" && strings.Contains(content, secret) {
			t.Errorf("%s has a token", name)
		}
	}
	if got := files["report/missing.txt"]; got != "relay-8080/metrics.txt: not found\nrelay-8080/events.jsonl: EOF\n" {
		t.Errorf("missing is %q", got)
	}
	if got := files["report/version.txt"]; !strings.HasPrefix(got, "made 2026-11-30T12:00:00Z\nrelay v1.2.3\ngo1.") {
		t.Errorf("the version is %q", got)
	}
	if got := strings.Count(files["report/relay-8080/events.jsonl"], "user_done"); got != 2 {
		t.Errorf("it has %d events, want 2", got)
	}
}

// An address has the same name in every file, and no other.
func TestAddresses(t *testing.T) {
	b := &support.Bundle{Addresses: &support.Addresses{}}
	b.AddProcess(t.Context(), "p", process{})
	var out bytes.Buffer
	if err := b.Write(&out, "r"); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, out.Bytes())
	if got := files["r/p/users.json"]; !strings.Contains(got, `"address": "address-1:1000"`) {
		t.Error(got)
	}
	if got := files["r/p/events.jsonl"]; !strings.Contains(got, `"user":"address-1:1000"`) || !strings.Contains(got, `"user":"[address-2]:1001"`) {
		t.Error(got)
	}
	delete(files, "r/p/heap.pb.gz")
	for name, content := range files {
		if strings.Contains(content, "192.0.2.7") || strings.Contains(content, "2001:db8") {
			t.Errorf("%s has an address:\n%s", name, content)
		}
	}
}

func TestReplace(t *testing.T) {
	var a support.Addresses
	for _, tt := range []struct{ text, want string }{
		{"dial tcp 192.0.2.7:80: connection refused", "dial tcp address-1:80: connection refused"},
		{"::ffff:192.0.2.7 and 192.0.2.7/32", "address-1 and address-1/32"},
		{"[2001:db8::1]:443, 2001:DB8::1: gone, 2001:db8::/64", "[address-2]:443, address-2: gone, address-3/64"},
		{"fe80::1%eth0", "address-4"},
		{"at 21:57:26, 2026-11-30T21:57:26Z, v1.2.3", "at 21:57:26, 2026-11-30T21:57:26Z, v1.2.3"},
		{"127.0.0.1:8080 [::]:20001 :8080 0.0.0.0 ::1", "127.0.0.1:8080 [::]:20001 :8080 0.0.0.0 ::1"},
		{"999.1.1.1 1.2.3 a:b std::vector 0xc000:12", "999.1.1.1 1.2.3 a:b std::vector 0xc000:12"},
	} {
		if got := a.Replace(tt.text); got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.text, got, tt.want)
		}
	}
}
