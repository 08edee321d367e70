package main

import (
	"crypto/rand"
	"log/slog"

	"github.com/seed96252745/relay"
)

// stateKeys keeps lease keys in the state directory, by which the forwarder has the same
// port after a restart. If the default folder cannot be used it keeps them for as long as the
// process runs. Its methods are not called concurrently.
type stateKeys struct {
	flags     *flags
	log       *slog.Logger
	warned    bool // once for all services
	forgotten map[string]string
}

func newStateKeys(f *flags, log *slog.Logger) *stateKeys {
	return &stateKeys{flags: f, log: log, forgotten: make(map[string]string)}
}

// Key returns an error if the key cannot be kept in the folder of --stateDir.
func (k *stateKeys) Key(name string) (key string, err error) {
	dir, err := k.flags.state()
	if err == nil {
		key, err = relay.FileKeys(dir).Key(name)
	}
	switch {
	case err == nil:
		if !k.warned {
			k.warned = true
			warnIfOpen(dir, k.log)
		}
		return key, nil
	case k.flags.stateDir != "":
		return "", stateDirError(err)
	}
	if !k.warned {
		k.warned = true
		k.log.Warn("the key of the public port cannot be kept: the port will change at the next start; give a folder with --stateDir", "error", err)
	}
	if k.forgotten[name] == "" {
		k.forgotten[name] = rand.Text()
	}
	return k.forgotten[name], nil
}

// serviceKeys keeps the key of a service of a file under the relay's address and the service's
// name, so that it has the same port when its local server is another one.
type serviceKeys struct {
	keys relay.KeyStore
	name string
}

// Key returns the key of the service, whatever the library would keep it under.
func (k serviceKeys) Key(string) (key string, err error) { return k.keys.Key(k.name) }
