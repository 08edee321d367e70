package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/cmd/relay/support"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/api/client"
)

const rightSupport = "to make one:   relay support"

// supportFlags say what goes into a bundle, and where.
type supportFlags struct {
	admin       adminFlags
	output      string
	noAddresses bool
}

func newSupportCommand() *cobra.Command {
	var f supportFlags
	cmd := &cobra.Command{
		Use:   "support",
		Short: "Write a bundle for a bug report: one file with what there is to know",
		Long: `Writes one tar.gz with what each relay and each forwarder of this machine says about
itself: version, flags, status, tunnels, users, limits, the last events, ends and
refusals, metrics, goroutines and heap; and with what the kernel says about the
machine. Only its owner can read the file. It has no tokens and no keys. It has
the addresses of users, unless --noAddresses replaces them.`,
		Example: "  relay support\n  relay support --noAddresses --output=report.tar.gz",
		Args:    takes(0, rightSupport, "support has flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), time.Now())
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&f.output, "output", "", "the file to write, which must not exist (default relay-support-<time>.tar.gz)")
	cmd.Flags().BoolVar(&f.noAddresses, "noAddresses", false, "replace each address by a name, the same one everywhere")
	seesAdmin(cmd, &f.admin, rightSupport)
	return cmd
}

func (f *supportFlags) run(ctx context.Context, out io.Writer, now time.Time) error {
	processes, err := f.admin.find()
	alone := errors.Is(err, errNothingRuns)
	if err != nil && !alone {
		return err
	}
	path := f.output
	if path == "" {
		path = "relay-support-" + now.Format("20060102-150405") + ".tar.gz"
	}
	// The file comes first: nobody waits for a bundle that cannot be written.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return explainOutput(err, path)
	}
	b := &support.Bundle{Made: now}
	if f.noAddresses {
		b.Addresses = &support.Addresses{}
	}
	b.AddMachine(version())
	for _, p := range processes {
		b.AddProcess(ctx, folderOf(p), supported{p.Client})
	}
	err = errors.Join(ctx.Err(), b.Write(file, strings.TrimSuffix(filepath.Base(path), ".tar.gz")), file.Close())
	if err != nil {
		_ = os.Remove(path) // half a bundle helps nobody
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.explain(screen.On(out), b, path, alone)
}

// explain says what was written, and what to look at before it is sent.
func (f *supportFlags) explain(s screen.Screen, b *support.Bundle, path string, alone bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(s, "%s, %s, has\n\n", s.Paint(screen.Bold, path), screen.Bytes(info.Size()))
	for _, name := range b.Names() {
		fmt.Fprintf(s, "  %s\n", name)
	}
	addresses := "It has the addresses of users and of relay clients: --noAddresses replaces them."
	if f.noAddresses {
		addresses = "Addresses of users and of relay clients are replaced."
	}
	fmt.Fprintf(s, "\nIt has no tokens and no keys, and names of tunnels, tokens and hosts. %s\nLook at it before you send it:   tar -xzf %s\n", addresses, quoteArg(path))
	if alone {
		fmt.Fprint(s, s.Paint(screen.Yellow, "Nothing runs here that could be asked, so it is about this machine alone.")+"\n")
	}
	for _, missing := range b.Missing() {
		fmt.Fprint(s, s.Paint(screen.Yellow, "It is without "+screen.Clean(missing))+"\n")
	}
	return nil
}

// folderOf returns the folder of a process in the bundle.
func folderOf(p instance) string {
	if p.socket.Kind == "" {
		return "process"
	}
	return fmt.Sprintf("%s-%d", p.socket.Kind, p.socket.Number)
}

// explainOutput adds what to do to the error of a file that is to be written.
func explainOutput(err error, path string) error {
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s exists, and is not overwritten: give another file with --output", path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: give a file that you may write with --output", err)
	}
	return err
}

// supported is a process as a bundle asks it.
type supported struct{ *client.Client }

// Recent yields the events that are kept, and then those that happen.
func (s supported) Recent(ctx context.Context) iter.Seq2[api.Event, error] {
	return s.Events(ctx, client.Filter{Kept: true})
}
