package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/internal/auth"
)

// tokenFlag is a flag for a key of tokens files, with the same name.
type tokenFlag struct{ name, example, usage string }

// tokenFlags returns the flags in the order in which token check shows the keys.
func tokenFlags() []tokenFlag {
	return []tokenFlag{
		{"ports", "20000-20010,20050", "public `ports` that its owner may have and ask for (default one that the relay chooses)"},
		{"tunnels", "5", "`number` of tunnels at a time (default the relay's limit)"},
		{"users", "200", "`number` of users of a tunnel at a time"},
		{"usersPerSecond", "50", "`number` of new users of a tunnel from one address"},
		{"bytesPerSecond", "10MB", "`bytes` through a tunnel, such as 500kB, 10MB or 10MiB"},
		{"allow", "10.0.0.0/8,2001:db8::/32", "`networks` that users may come from (default all)"},
		{"deny", "192.0.2.0/24", "`networks` that users may not come from"},
		{"expires", "90d for 90 days from today, or --expires=2027-01-31", "last `day` in UTC, or a time, or days from today such as 90d (default never)"},
	}
}

func tokenExamples() map[string]string {
	of := map[string]string{"name": "db1", "sshKey": "id_ed25519.pub"}
	for _, f := range tokenFlags() {
		of[f.name] = f.example
	}
	return of
}

func newTokenNewCommand() *cobra.Command {
	var name string
	var sshKeys []string
	cmd := &cobra.Command{
		Use:   "new --name <name>",
		Short: "Make a token: a line for the relay's tokens file, and a secret for its owner",
		Long: `Makes a secret. Its line for the relay's tokens file goes to standard output. The
secret itself goes to standard error, and is not kept.

With --sshKey there is no secret: the owner of the key comes with ssh -R.`,
		Example: `  relay token new --name db1 >> tokens
  relay token new --name alice --sshKey id_ed25519.pub >> tokens
  relay token new --name db1 --ports 20000-20010 --users 200 --expires 90d >> tokens`,
		Args: takes(0, rightTokenNew, "token new has flags only"),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return refuseEmpty(cmd, tokenExamples())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" {
				return usagef(rightTokenNew, "--name is missing: it says whose token it is")
			}
			if len(sshKeys) > 0 {
				id, err := newKeyToken(cmd, name, sshKeys)
				if err != nil {
					return err
				}
				return showKeyToken(cmd.OutOrStdout(), cmd.ErrOrStderr(), id)
			}
			id, secret, err := newToken(cmd, name, time.Now())
			if err != nil {
				return err
			}
			return showToken(cmd.OutOrStdout(), cmd.ErrOrStderr(), id, secret)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&name, "name", "", "name of its owner, in the file and in logs")
	cmd.Flags().Var(repeated{&sshKeys}, "sshKey", "`file` with the SSH public key of its owner, which stands in place of a secret, or - for standard input; may be given several times")
	for _, f := range tokenFlags() {
		cmd.Flags().String(f.name, "", f.usage)
	}
	return cmd
}

func newToken(cmd *cobra.Command, name string, now time.Time) (id auth.Identity, secret string, err error) {
	id, secret, err = auth.New(name)
	if err != nil {
		return auth.Identity{}, "", usagef(rightTokenNew, "--name=%+.80q: %v", name, err)
	}
	return id, secret, setToken(cmd, &id, now)
}

// setToken sets what the flags say that the owner of a token may do.
func setToken(cmd *cobra.Command, id *auth.Identity, now time.Time) error {
	for _, f := range tokenFlags() {
		flag := cmd.Flags().Lookup(f.name)
		if !flag.Changed {
			continue
		}
		value := flag.Value.String()
		if f.name == "expires" {
			value = absolute(value, now)
		}
		if err := id.Set(f.name, value); err != nil {
			return usagef(example(flag, tokenExamples()), "--%s: %v", f.name, err)
		}
	}
	if id.Expired(now) {
		return usagef("for example:   --expires=90d", "--expires: %s is over", id.Get("expires"))
	}
	return nil
}

// maxDays keeps the date within what can be written.
const maxDays = 100_000

// absolute turns "90d" into a date, and returns anything else as it is.
func absolute(expires string, now time.Time) string {
	days, relative := strings.CutSuffix(expires, "d")
	n, err := strconv.Atoi(days)
	if !relative || err != nil || n < 0 || n > maxDays {
		return expires
	}
	return now.UTC().AddDate(0, 0, n).Format(time.DateOnly)
}

// showToken writes the line to stdout, so that it can be appended to a file, and writes to
// stderr what to do with the line and with the secret.
func showToken(stdout, stderr io.Writer, id auth.Identity, secret string) error {
	if _, err := fmt.Fprintln(stdout, id.Line()); err != nil {
		return err // without its line the secret is useless
	}
	if isTerminal(stdout) {
		fmt.Fprintf(stderr, `
That line is for the relay's tokens file, to which only its owner may have access.
On the relay's machine:

    echo '%s' >> tokens
    chmod 600 tokens
`, id.Line())
	} else {
		fmt.Fprint(stderr, "The line for the relay's tokens file is on standard output. Only the owner of the file\nmay have access to it: chmod 600\n")
	}
	fmt.Fprintf(stderr, `
The secret is shown only this once. On the machine of %s:

    (umask 077; echo %s > relay.token)
    relay --tokenFile relay.token --localForwardPort=<its port> <relay host> <port>
`, id.Name, secret)
	return nil
}
