package main

import (
	"strings"

	"github.com/spf13/pflag"
)

// repeated is the value of a flag that may be given several times, and may have several values
// with commas between them. A path of a socket is one value.
type repeated struct{ values *[]string }

var (
	_ pflag.Value      = repeated{}
	_ pflag.SliceValue = repeated{}
)

// Set adds values.
func (r repeated) Set(text string) error {
	values := strings.Split(text, ",")
	if strings.HasPrefix(text, unixScheme) {
		values = []string{text}
	}
	*r.values = append(*r.values, values...)
	return nil
}

// String returns all values as they are typed.
func (r repeated) String() string {
	if r.values == nil {
		return ""
	}
	return strings.Join(*r.values, ",")
}

// Type returns what the help calls a value.
func (repeated) Type() string { return "string" }

// Append adds a value.
func (r repeated) Append(text string) error { return r.Set(text) }

// Replace has these values take the place of all.
func (r repeated) Replace(texts []string) error {
	*r.values = texts
	return nil
}

// GetSlice returns all values.
func (r repeated) GetSlice() []string { return *r.values }
