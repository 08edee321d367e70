package main_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	relay "github.com/seed96252745/relay/cmd/relay"
)

// Scripts run the test binary under the name relay, as a process of its own:
// signals, exit statuses and outputs are the real ones.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"relay": relay.Main, "manager": manager})
}

// leakChecked does what goleak.VerifyTestMain does, which would not let
// testscript.Main tidy up.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	status := m.M.Run()
	if status != 0 {
		return status
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestScripts runs what is in testdata/script. Beside the commands of
// testscript itself, scripts have those of script, below.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// With -race, a program would wait a second before it exits.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			s := newScript(t, env)
			env.Values[scriptKey{}] = s
			env.Defer(s.end)
			return nil
		},
		Cmds: withTerminals(map[string]func(*testscript.TestScript, bool, []string){
			"status":     command(2, (*script).status),
			"wrong":      command(2, (*script).wrong),
			"freeport":   command(1, (*script).freePort),
			"background": command(2, (*script).background),
			"stalled":    command(2, (*script).stalled),
			"resume":     command(1, (*script).resume),
			"users":      command(2, (*script).users),
			"waitfor":    command(3, (*script).waitFor),
			"signal":     command(2, (*script).signal),
			"ended":      command(2, (*script).ended),
			"server":     command(2, (*script).server),
			"occupy":     command(1, (*script).occupy),
			"vacate":     command(1, (*script).vacate),
			"connect":    command(2, (*script).connect),
			"talk":       command(2, (*script).talk),
			"say":        command(2, (*script).say),
			"hangup":     command(1, (*script).hangUp),
			"reset":      command(1, (*script).wantReset),
			"reachable":  command(1, (*script).reachable),
			"unserved":   command(1, (*script).unserved),
			"refused":    command(1, (*script).wantRefused),
		}),
	})
}

// withTerminals adds the commands for terminals, where the system has those.
func withTerminals(commands map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	maps.Copy(commands, terminalCommands())
	return commands
}

type scriptKey struct{}

// command makes a command of a script out of a method. None of them can be
// negated.
func command(args int, run func(*script, *testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, given []string) {
		if neg || len(given) < args {
			ts.Fatalf("usage: at least %d arguments, and no !", args)
		}
		s, ok := ts.Value(scriptKey{}).(*script)
		if !ok {
			ts.Fatalf("the script was not set up")
		}
		run(s, ts, given)
	}
}
