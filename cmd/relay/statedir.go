package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/seed96252745/relay/internal/lease"
)

// state returns the folder for what outlives the process: --stateDir, or else that of the
// XDG base directory specification, or the usual one of other systems.
func (f *flags) state() (string, error) {
	if f.stateDir != "" {
		return f.stateDir, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "relay"), nil
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		dir, err := os.UserConfigDir()
		return filepath.Join(dir, "relay"), err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(home); err != nil || !info.IsDir() {
		return "", fmt.Errorf("there is no home directory %s", home)
	}
	return filepath.Join(home, ".local", "state", "relay"), nil
}

// warnIfOpen logs that others than its owner may read the state directory. It is used all
// the same: systemd and others make theirs so.
func warnIfOpen(dir string, log *slog.Logger) {
	const read, write = 0o044, 0o022
	info, err := os.Stat(dir)
	if runtime.GOOS == "windows" || err != nil || info.Mode()&(read|write) == 0 { // Windows has access lists instead of modes
		return
	}
	may := "read it"
	if info.Mode()&write != 0 {
		may = "write to it"
	}
	log.Warn(fmt.Sprintf("only the owner should have access to the state directory, and others on this machine may %s: chmod 700 %s", may, dir),
		"mode", fmt.Sprintf("%04o", info.Mode().Perm()))
}

// stateDirError adds to the error of a folder that --stateDir names what to do.
func stateDirError(err error) error {
	text := strings.TrimPrefix(err.Error(), "relay: ") // of the library
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		text += ": give a folder that the user who runs relay may write to"
	}
	return errors.New("--stateDir: " + text)
}

// explainFile adds to the error of a file that a flag names what to do.
func explainFile(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: give the path of a file that exists", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: give a file that the user who runs relay may read", err)
	}
	return err
}

// openLeases opens the leases of the relay at this port. If the usual folder cannot be used
// it does without.
func openLeases(f *flags, port int, log *slog.Logger) (lease.Store, error) {
	dir, err := f.state()
	if err == nil {
		path := filepath.Join(dir, fmt.Sprintf("leases-%d.db", port))
		var file *lease.File
		file, err = lease.Open(path)
		if errors.Is(err, lease.ErrDamaged) {
			file, err = replaceLeases(path, err, log)
		}
		if err == nil {
			warnIfOpen(dir, log)
			return file, nil
		}
	}
	if f.stateDir != "" {
		return nil, stateDirError(err)
	}
	log.Warn("leases cannot be kept: relay clients will have other ports after the next start; give a folder with --stateDir", "error", err)
	return lease.Forget{}, nil
}

// replaceLeases puts a new file in the place of a damaged one: relay clients get other
// ports then, which is better than none.
func replaceLeases(path string, damage error, log *slog.Logger) (*lease.File, error) {
	aside := path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("%w; putting it aside: %w", damage, err)
	}
	log.Error("the file of leases is damaged, and was put aside for a new one: relay clients will have other ports", "aside", aside, "error", damage)
	return lease.Open(path)
}
