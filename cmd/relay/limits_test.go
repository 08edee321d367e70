package main_test

import (
	"slices"
	"testing"

	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
)

// The admin API names the flags that set limits: each that there is, by its name.
func TestLimitsHaveTheirFlags(t *testing.T) {
	s, err := node.Relay(node.Config{Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var named []string
	for _, l := range node.NewAdmin(node.AdminConfig{Server: s}).Limits() {
		if l.Flag != "" {
			named = append(named, "--"+l.Flag)
		}
	}
	var have []string
	for _, f := range flagsOf(t, []string{"--help"}) {
		have = append(have, f.name)
	}
	want := []string{
		"--maxUsers", "--maxUsersPerSource", "--maxUsersPerSecond", "--maxTunnelsPerSource", "--maxTunnelsPerNetwork",
		"--maxHandshakes", "--maxHandshakesPerSource", "--userWait", "--handshakeTimeout",
	}
	slices.Sort(want)
	slices.Sort(named)
	if !slices.Equal(named, want) {
		t.Errorf("limits are set by %q, want %q", named, want)
	}
	for _, name := range named {
		if !slices.Contains(have, name) {
			t.Errorf("there is no flag %s", name)
		}
	}
}
