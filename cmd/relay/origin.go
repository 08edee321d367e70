package main

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/config"
)

// origin is where the value of a flag comes from, if it is not from the command line.
type origin struct {
	variable string // of the environment, or ""
	key      string // of the file, dotted, or ""
}

// lookup returns the flag with a name among sets, or nil.
func lookup(name string, sets ...*pflag.FlagSet) *pflag.Flag {
	for _, fs := range sets {
		if flag := fs.Lookup(name); flag != nil {
			return flag
		}
	}
	return nil
}

// setsOf returns the sets with the flags that the keys of a table are for.
func (f *flags) setsOf(table string) []*pflag.FlagSet {
	switch table {
	case "":
		return []*pflag.FlagSet{f.ofBoth}
	case "server":
		return []*pflag.FlagSet{f.ofRelay, f.ofRelayLimits, f.ofBoth}
	}
	return []*pflag.FlagSet{f.ofForwarder, f.ofBoth}
}

// all returns the sets of all flags.
func (f *flags) all() []*pflag.FlagSet {
	return []*pflag.FlagSet{f.ofForwarder, f.ofRelay, f.ofRelayLimits, f.ofBoth}
}

// set gives a flag the value that it has elsewhere.
func (f *flags) set(flag *pflag.Flag, value string, from origin) error {
	if from != (origin{}) {
		f.from[flag.Name] = from
	}
	if err := flag.Value.Set(value); err != nil {
		return explainValue(flag, value, err, examples())
	}
	flag.Changed = true
	return nil
}

// derive returns flags with the values that these have been given, for another part of the
// same process.
func (f *flags) derive() *flags {
	d := &flags{file: f.file, linesDropped: f.linesDropped}
	d.define()
	for _, fs := range f.all() {
		fs.VisitAll(func(flag *pflag.Flag) {
			if flag.Changed {
				_ = d.set(lookup(flag.Name, d.all()...), valueOf(flag), f.from[flag.Name]) // it was read from the same text
			}
		})
	}
	return d
}

// valueOf returns the value of a flag as it is typed.
func valueOf(flag *pflag.Flag) string {
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",")
	}
	return flag.Value.String()
}

// flagInText finds flags in a message, with their values.
var flagInText = regexp.MustCompile(`--([a-zA-Z]+)(?:=("(?:[^"\\]|\\.)*"|\S+?))?([,;:)]?(?:\s|$))`)

// rename has a message about flags speak of variables and of keys of the file, for the values
// that come from there. A flag that is not given is called as the file does, if there is one.
func (f *flags) rename(text string) string {
	return flagInText.ReplaceAllStringFunc(text, func(found string) string {
		m := flagInText.FindStringSubmatch(found)
		flag := lookup(m[1], f.all()...)
		if flag == nil {
			return found
		}
		from := f.from[flag.Name]
		switch {
		case from.variable != "" && m[2] == "":
			return from.variable + m[3]
		case from.variable != "":
			return from.variable + "=" + m[2] + m[3]
		case f.file == nil || flag.Changed && from.key == "":
			return found
		case m[2] == "":
			return flag.Name + m[3]
		}
		value, err := strconv.Unquote(m[2])
		if err != nil {
			value = m[2] // it has no quotes
		}
		return config.Literal(flag.Name, value) + m[3]
	})
}

// renamed returns an error in which rename has been done.
func (f *flags) renamed(err error) error {
	var usage *usageError
	if err == nil || f.file == nil && len(f.from) == 0 {
		return err
	}
	if errors.As(err, &usage) {
		return &usageError{wrong: f.rename(usage.wrong), right: f.rename(usage.right)}
	}
	if text := f.rename(err.Error()); text != err.Error() {
		return &renamedError{text, err}
	}
	return err
}

// renamedError is an error with another text.
type renamedError struct {
	text string
	err  error
}

func (e *renamedError) Error() string { return e.text }
func (e *renamedError) Unwrap() error { return e.err }

// fault returns the error of a check as a fault of the file: at the first key that it names and
// that the file has, or else at the table. It reports false if it is about no value of the file.
func (f *flags) fault(err error, table string) (fault config.Fault, is bool) {
	var usage *usageError
	if !errors.As(err, &usage) {
		return f.file.Fault(table, f.rename(err.Error()), ""), true
	}
	key, given := "", false
	for _, m := range flagInText.FindAllStringSubmatch(usage.wrong+" ", -1) {
		from := f.from[m[1]]
		flag := lookup(m[1], f.all()...)
		given = given || flag != nil && flag.Changed && from.key == ""
		if key == "" {
			key = from.key
		}
	}
	if key == "" && given {
		return config.Fault{}, false
	}
	if key == "" {
		key = table
	}
	wrong, right := f.rename(usage.wrong), f.rename(usage.right)
	name := key[strings.LastIndexByte(key, '.')+1:]
	wrong = strings.TrimPrefix(wrong, name+": ")
	if value, ok := strings.CutPrefix(wrong, name+" = "); ok {
		wrong = value
	}
	if rest, ok := strings.CutPrefix(wrong, name+" is "); ok {
		wrong = "it is " + rest
	}
	if !strings.HasPrefix(usage.right, "for example:") && !strings.HasPrefix(usage.right, "one of:") {
		right = "" // a command line
	}
	return f.file.Fault(key, wrong, strings.Join(strings.Fields(right), " ")), true
}
