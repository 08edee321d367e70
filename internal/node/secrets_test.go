package node_test

import (
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/node"
)

// A slip of a relay client's author, such as +token=<secret>, makes the secret a part
// of another word. It comes into no answer and no log; the author is told what to write.
func TestSecretInAnotherWord(t *testing.T) {
	const secret = "relay_PFROSMABCDEFGHIJKLMNOPQRST"
	for lines, want := range map[string]string{
		"+token=" + secret + "\nevent\nnew\n":           "-unknown-option token...: ",
		"+token:" + secret + "\nevent\nnew\n":           "-unknown-option token...: ",
		"+tokn " + secret + "\nevent\nnew\n":            "-unknown-option tokn\n",
		"+" + secret + "\nevent\nnew\n":                 "-unknown-option relay...: ",
		"+" + secret[6:] + "\nevent\nnew\n":             "-unknown-option ...: ",
		"+port " + secret + "\nevent\nnew\n":            "-bad-option ",
		"+lease " + secret[:16] + "\nevent\nnew\n":      "-bad-option ",
		"+token x\n+token " + secret + "\nevent\nnew\n": "-bad-option ",
		secret + "\n":                                   "",
		"token " + secret + "\n":                        "",
		"+token " + secret + "\n" + secret + "\n":       "",
		"+token " + secret + "\npool\n" + secret + "\n": "",
	} {
		t.Run(lines, func(t *testing.T) {
			answer, log := refused(t, node.Config{}, lines)
			if !strings.HasPrefix(answer, want) || want == "" && answer != "" {
				t.Errorf("the answer is %q, want %q", answer, want)
			}
			if strings.Contains(answer+log, secret[6:14]) {
				t.Errorf("the secret is in the answer %q, or in the log\n%s", answer, log)
			}
			if want != "" && !strings.Contains(log, "request refused") {
				t.Errorf("the log is\n%s", log)
			}
		})
	}
}
