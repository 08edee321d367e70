// Command table makes the table of docs/reliability.md, in Markdown, from what
// the rows of internal/lab have recorded: one JSON line for each, of one run or
// of several.
//
//	LAB_REPORT=rows.jsonl make lab
//	go run ./internal/lab/table rows.jsonl
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(files []string, stdout io.Writer) error {
	var all []result
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		results, err := read(file)
		_ = file.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, results...)
	}
	_, err := io.WriteString(stdout, table(all))
	return err
}

// result is what a row recorded for one protocol, once.
type result struct {
	Row      string `json:"row"`
	Fault    string `json:"fault"`
	Injected string `json:"injected"`
	Protocol string `json:"protocol"`
	Measured string `json:"measured"`
	Passed   bool   `json:"passed"`
}

func read(r io.Reader) ([]result, error) {
	var all []result
	for lines := bufio.NewScanner(r); ; {
		if !lines.Scan() {
			return all, lines.Err()
		}
		var one result
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
}
