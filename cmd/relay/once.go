package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// refuseTwice has each flag that is not a list take one value: the last of two would
// replace the first without a word.
func refuseTwice(cmd *cobra.Command) {
	refuse := func(flag *pflag.Flag) {
		if _, list := flag.Value.(pflag.SliceValue); !list {
			flag.Value = &once{Value: flag.Value}
		}
	}
	cmd.Flags().VisitAll(refuse)
	for _, sub := range cmd.Commands() {
		refuseTwice(sub)
	}
}

// once is a flag's value that can be set only once.
type once struct {
	pflag.Value
	given bool
}

// Set returns a *givenTwice the second time.
func (o *once) Set(text string) error {
	if o.given {
		return &givenTwice{first: o.String(), second: text}
	}
	o.given = true
	return o.Value.Set(text)
}

// givenTwice is the error of a flag that is set already.
type givenTwice struct{ first, second string }

func (e *givenTwice) Error() string { return fmt.Sprintf("given as %q before", e.first) }

// oneOf returns both ways of typing the flag.
func (e *givenTwice) oneOf(flag *pflag.Flag) string {
	if flag.NoOptDefVal != "" { // it needs no value
		return "once:   --" + flag.Name
	}
	return fmt.Sprintf("one of:   --%s=%s, --%s=%s", flag.Name, e.first, flag.Name, e.second)
}
