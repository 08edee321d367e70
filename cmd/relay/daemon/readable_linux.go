package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed96252745/relay/deploy/systemd"
)

// hidden are the folders of which the units see nothing, or others of their own.
var hidden = []string{"/home", "/root", "/run/user", "/tmp", "/var/tmp"}

// visible refuses a path in a folder of which a service sees nothing.
func visible(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, dir := range hidden {
		if strings.HasPrefix(real, dir+"/") {
			return fmt.Errorf("%s: a service sees nothing of %s", path, dir)
		}
	}
	return nil
}

// readable refuses a file that the group with this ID cannot read. One that is not there yet
// is for the service to complain about.
func readable(path, gid string) error {
	if err := visible(path); os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("%w: make a folder for it, and move it there:   sudo install -d -m 2750 -g %s /etc/relay", err, systemd.ConfigGroup)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if !groupMay(real, gid, 0o4) {
		return fmt.Errorf("the service reads its files as a member of the group %s, and cannot read %s:   sudo chgrp %[1]s %s && sudo chmod 640 %[3]s", systemd.ConfigGroup, path, real)
	}
	for dir := filepath.Dir(real); dir != "/"; dir = filepath.Dir(dir) {
		if !groupMay(dir, gid, 0o1) {
			return fmt.Errorf("the service reads its files as a member of the group %s, and cannot enter %s:   sudo chgrp %[1]s %[2]s && sudo chmod g+rxs %[2]s", systemd.ConfigGroup, dir)
		}
	}
	return nil
}

// groupMay reports whether a member of the group, who owns nothing, has the right of the last
// three bits of a mode.
func groupMay(path, gid string, right os.FileMode) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && strconv.FormatUint(uint64(stat.Gid), 10) == gid {
		return info.Mode()&(right<<3) != 0
	}
	return info.Mode()&right != 0
}
