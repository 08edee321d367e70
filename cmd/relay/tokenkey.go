package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/auth"
)

const rightSSHKey = "for example:   --sshKey=id_ed25519.pub"

// maxKeyFile bounds a file with public keys.
const maxKeyFile = 64 << 10

// newKeyToken returns an identity that SSH keys of files stand for.
func newKeyToken(cmd *cobra.Command, name string, files []string) (auth.Identity, error) {
	var keys []ssh.PublicKey
	for _, file := range files {
		of, err := readPublicKeys(file, cmd.InOrStdin())
		if err != nil {
			return auth.Identity{}, usagef(rightSSHKey, "--sshKey: %v", err)
		}
		keys = append(keys, of...)
	}
	id, err := auth.NewWithKeys(name, keys)
	if err != nil {
		return auth.Identity{}, usagef(rightSSHKey, "--name=%+.80q with --sshKey: %v", name, err)
	}
	return id, setToken(cmd, &id, time.Now())
}

// readPublicKeys reads the keys of a file as ssh-keygen writes it, or authorized_keys is. It
// never repeats what it has read: that may be a private key.
func readPublicKeys(path string, stdin io.Reader) (keys []ssh.PublicKey, err error) {
	from, name := stdin, "standard input"
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, explainFile(err)
		}
		defer file.Close() //nolint:errcheck // it was only read
		from, name = file, path
	}
	text, err := io.ReadAll(io.LimitReader(from, maxKeyFile))
	if err != nil {
		return nil, err
	}
	if strings.Contains(string(text), "PRIVATE KEY-----") {
		return nil, fmt.Errorf("%s is a private key, which never leaves its machine: give the public one, %s.pub", name, path)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s, line %d: that is no SSH public key", name, n)
		case len(options) > 0:
			return nil, fmt.Errorf("%s, line %d: options of authorized_keys such as %.40q mean nothing here: leave them out, and say with other flags what the owner may do", name, n, options[0])
		}
		if _, is := key.(*ssh.Certificate); is {
			return nil, fmt.Errorf("%s, line %d: that is a certificate: give the key itself, or have the relay trust its authority with --sshClientCa", name, n)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New(name + " has no key")
	}
	return keys, nil
}

// showKeyToken is showToken for an identity that has keys in place of a secret.
func showKeyToken(stdout, stderr io.Writer, id auth.Identity) error {
	if _, err := fmt.Fprintln(stdout, id.Line()); err != nil {
		return err
	}
	fmt.Fprintf(stderr, `That line is for the relay's tokens file, to which only its owner may have access (chmod 600).
The key of %s is %s. On its owner's machine:

    ssh -p <port of --sshListen> -R 0:localhost:<its port> <relay host>
`, id.Name, strings.Join(id.Fingerprints(), ", "))
	return nil
}
