package main_test

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	relay "github.com/seed96252745/relay/cmd/relay"
)

// A flag without a value, as an unset variable leaves it in a unit file, must never count as
// one that is not given: what it protects would be open. This holds for every flag that the
// help shows, and each has an example.
func TestEmptyFlags(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct{ help, args []string }{
		{[]string{"--help"}, []string{"8080"}},
		{[]string{"--help"}, []string{"--localForwardPort=6379", "localhost", "8080"}},
		{[]string{"token", "new", "--help"}, []string{"token", "new"}},
		{[]string{"demo", "--help"}, []string{"demo"}},
		{[]string{"status", "--help"}, []string{"status"}},
		{[]string{"top", "--help"}, []string{"top"}},
		{[]string{"users", "--help"}, []string{"users"}},
		{[]string{"kick", "--help"}, []string{"kick", "u1"}},
		{[]string{"log", "--help"}, []string{"log"}},
		{[]string{"support", "--help"}, []string{"support"}},
	} {
		flags := flagsOf(t, tt.help)
		if len(flags) < 2 {
			t.Errorf("%q shows the flags %v", tt.help, flags)
		}
		for _, flag := range flags {
			var stdout, stderr bytes.Buffer
			args := slices.DeleteFunc(slices.Clone(tt.args), func(arg string) bool { return strings.HasPrefix(arg, flag.name+"=") })
			status := relay.Run(done, append(args, flag.name+"="), &stdout, &stderr)
			message, hint, _ := strings.Cut(stderr.String(), "\n")
			want := "for example:   " + flag.name
			if flag.value {
				want += "="
			}
			if status != 2 || message != "relay: "+flag.name+" is empty: give it a value, or leave it out" ||
				!strings.HasPrefix(hint, want) || strings.HasSuffix(hint, "=\n") {
				t.Errorf("%q %s=: status %d: %s", tt.args, flag.name, status, stderr.String())
			}
		}
	}
}

type shownFlag struct {
	name  string
	value bool // it has one
}

// flagsOf returns the flags that the help shows.
func flagsOf(t *testing.T, help []string) (flags []shownFlag) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := relay.Run(t.Context(), help, &stdout, &stderr); status != 0 {
		t.Fatalf("%q: status %d: %s", help, status, stderr.String())
	}
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--\w+)( \S+)? {2,}`).FindAllStringSubmatch(stdout.String(), -1) {
		flags = append(flags, shownFlag{name: m[1], value: m[2] != ""})
	}
	return flags
}
