package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/config"
)

var update = flag.Bool("update", false, "write what is said now into testdata")

// Each file has the faults that stand beside it: all of them, in the order of its lines.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = config.Load(private(t, filepath.Base(file), string(text)))
		var faults *config.Faults
		if !errors.As(err, &faults) {
			t.Errorf("%s: %v, want faults", file, err)
			continue
		}
		faults.Path = filepath.Base(file)
		golden := strings.TrimSuffix(file, ".toml") + ".txt"
		got := faults.Error() + "\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: the faults are\n%s\nand in %s\n%s", file, got, golden, want)
		}
	}
}

// private writes a file that only its owner can read.
func private(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A health check is the same in a word, as a flag has it, and in a table.
func TestHealthCheckInAWord(t *testing.T) {
	for _, text := range []string{"tcp", "http:/healthz", "http:/a?b=c status=401", "http:/ status=204 interval=30s", "tcp interval=2s"} {
		check, err := config.ParseHealthCheck(text)
		if err != nil || check.String() != text {
			t.Errorf("%q is read as %v, %v", text, check, err)
		}
	}
	for _, text := range []string{"", "TCP", "http:", "http://a/", "http:a", "tcp status", "tcp status=x", "tcp interval=5", "tcp every=5s", "tcp,status=200"} {
		if check, err := config.ParseHealthCheck(text); err == nil {
			t.Errorf("%q is read as %v", text, check)
		}
	}
}
