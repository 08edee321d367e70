package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/internal/config"
)

// usualConfig is the file that relay init writes.
const usualConfig = "relay.toml"

func newInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [file]",
		Short: "Write a configuration file to begin with",
		Long: `Writes a configuration file with every setting and what it is for: relay.toml, if no
other is given. A file that is there already is left alone.

The file puts one server online. Everything else in it is a comment.`,
		Example: "  relay init\n  relay init /etc/relay/relay.toml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("for example:   relay init relay.toml", "%s; init has one at most, the file", argumentsGiven(len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path := usualConfig
			if len(args) == 1 {
				path = args[0]
			}
			return writeConfig(cmd.OutOrStdout(), path)
		},
	}
}

// writeConfig writes a file that did not exist before. Only its owner can read it: a token may
// come into it.
func writeConfig(out io.Writer, path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case path == "":
		return usagef("for example:   relay init relay.toml", "the path of the file is empty")
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already, and is left alone: give another path, or remove it", path)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: give a path in a folder that you may write to", err)
	case err != nil:
		return err
	}
	_, err = file.WriteString(config.Template())
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	_, err = fmt.Fprintf(out, "%s is written. Set [relay] address and [services.web] local in it, and then:   relay --config %[1]s\n", path)
	return err
}
