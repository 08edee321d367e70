package main_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	relay "github.com/seed96252745/relay/cmd/relay"
)

// Any command line can be run, or the message says what to type instead and the status is
// 2. Nothing is started: the context is done. The words are the lines of the input.
func FuzzCommandLine(f *testing.F) {
	for _, seed := range []string{
		"", "8080", "--localForwardPort=6379\nlocalhost\n8080", "--local-forward-port\n6379\nlocalhost\n8080", "--help", "help\ndemo",
		"--version", "completion\nbash", "completion\nnosh", "localhost\n8080", "--ports\n20000-29999\n--bind=127.0.0.1\n1", "--ports=2-1\n80",
		"--protocol=pool\n--poolSize=0\n--localForwardPort=1\nh\n1", "--drain=-1s\n80", "--drain=1e9h\n80", "--logLevel=loud\n80",
		"--logFormat=xml\n80", "--\n8080", "-h", "--nosuch", "--poolSize=9999999999999999999\n80", "\x1b[2J",
		"--localForwardPort=6379\n::1\n08080", "--localForwardPort=\n\n", "80\n80\n80", "65536", " 80 ",
		"--localForwardPort=6379\n[::1]\n8080", "--localForwardPort=6379\n--localForwardHost=a]\nhost\n8080",
		"--localForwardPort=6379\nhttp://h:1/\n8080", "--localForwardPort=6379\n::1%\x1b\n8080", "--localForwardPort=6379\n--tlsPin=\nh\n8080",
		"[::1]:8080", "h:\n8080", "tokne\nnew", "help\nfoo", "--bind=\n80", "--bind=a b\n80", "--lease=5\n80", "--acmeEmail=a\n80",
		"token", "token\nnew", "token\nnew\n--name=a\n--ports=1-2\n--expires=90d", "token\nnew\n--name=a b", "token\nnew\n--name=a\n--bytes-per-second=1kb",
	} {
		f.Add(seed)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	f.Fuzz(func(t *testing.T, words string) {
		args := strings.Split(words, "\n")
		if slices.Contains(args, "demo") || slices.Contains(args, "check") || slices.Contains(args, "doctor") || slices.ContainsFunc(args, isCompletion) {
			return // the demo would run, the doctor ends with 1, a file is not a command line, and what shells ask is not typed by anybody
		}
		var stdout, stderr bytes.Buffer
		status := relay.Run(done, args, &stdout, &stderr)
		said := stderr.String()
		switch {
		case status == 0:
		case status != 2:
			t.Errorf("%q: status %d: %s", args, status, said)
		case !strings.HasPrefix(said, "relay: ") || strings.Count(said, "\n") < 2:
			t.Errorf("%q: status 2 and no help: %q", args, said)
		}
	})
}

func isCompletion(arg string) bool { return strings.HasPrefix(arg, "__complete") }
