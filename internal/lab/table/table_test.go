package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestTable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "rows")
	lines := `{"row":"12","fault":"no connection","injected":"scripted","protocol":"pool","measured":"1 of 200 served","passed":true}
{"row":"3","fault":"half-close","injected":"user","protocol":"event","measured":"64 MiB in 2.5 s","passed":true}
{"row":"3","fault":"half-close","injected":"user","protocol":"multiplex","measured":"64 MiB in 3 s","passed":true}
{"row":"3","fault":"half-close","injected":"user","protocol":"multiplex","measured":"64 MiB in 10.5 s","passed":false}
`
	if err := os.WriteFile(name, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := run([]string{name}, &got); err != nil {
		t.Fatal(err)
	}
	want := `| row | fault | how injected | protocols | measured | passed |
|---|---|---|---|---|---|
| 3 | half-close | user | multiplex, event | multiplex: 64 MiB in 3 to 10.5 s<br>event: 64 MiB in 2.5 s | 2/3 |
| 12 | no connection | scripted | pool | 1 of 200 served | 1/1 |
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}

// Texts that say different things are not mixed.
func TestMergeOfOtherWords(t *testing.T) {
	if got := merge([]string{"1 of 2 served", "none served"}); got != "none served" {
		t.Errorf("got %q, want what the last run said", got)
	}
}
