// Command generate writes the units of the packages into the folder that it runs in.
package main

import (
	"fmt"
	"os"

	"github.com/seed96252745/relay/deploy/systemd"
)

func main() {
	for _, unit := range systemd.Units() {
		text, err := unit.Text()
		if err == nil {
			err = os.WriteFile(unit.FileName(), []byte(text), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
