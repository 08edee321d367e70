package main

import (
	"crypto/rand"
	"log/slog"

	"github.com/seed96252745/relay"
)

// keys returns the store of lease keys, by which the forwarder has the same port after a
// restart.
func keys(f *flags, log *slog.Logger) (relay.KeyStore, error) {
	dir, err := f.state()
	switch {
	case f.stateDir != "":
		return namedKeys{dir, log}, err
	case err != nil:
		return defaultKeys{err: err, log: log}, nil
	}
	return defaultKeys{dir: dir, log: log}, nil
}

// namedKeys is the store in the folder of --stateDir.
type namedKeys struct {
	dir string
	log *slog.Logger
}

// Key returns an error if the key cannot be kept.
func (k namedKeys) Key(name string) (string, error) {
	key, err := relay.FileKeys(k.dir).Key(name)
	if err != nil {
		return "", stateDirError(err)
	}
	warnIfOpen(k.dir, k.log)
	return key, nil
}

// defaultKeys keeps keys in the default folder, and does without if that cannot be used.
type defaultKeys struct {
	dir string
	err error // why there is no folder
	log *slog.Logger
}

// Key logs it if the key cannot be kept.
func (k defaultKeys) Key(name string) (string, error) {
	err := k.err
	if err == nil {
		var key string
		if key, err = relay.FileKeys(k.dir).Key(name); err == nil {
			warnIfOpen(k.dir, k.log)
			return key, nil
		}
	}
	k.log.Warn("the key of the public port cannot be kept: the port will change at the next start; give a folder with --stateDir", "error", err)
	return rand.Text(), nil
}
