package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strings"

	"github.com/coreos/go-systemd/v22/util"
	"github.com/kardianos/service"

	"github.com/seed96252745/relay/deploy/systemd"
)

// mayManage refuses where there is no systemd, and whom that would refuse.
func mayManage() error {
	if !util.IsRunningSystemd() {
		return errNoSystemd
	}
	if os.Geteuid() != 0 {
		return ErrRights
	}
	return nil
}

var errNoSystemd = errors.New("systemd does not run here: where another program starts services, or in a container, have it run   relay --config <file>")

// Status returns what the service does.
func (s Service) Status() (State, error) {
	if !util.IsRunningSystemd() {
		return NotInstalled, errNoSystemd
	}
	out, err := exec.Command("systemctl", "show", "--property=LoadState,ActiveState", s.unit().FileName()).Output()
	if err != nil {
		return NotInstalled, fmt.Errorf("systemctl: %w", err)
	}
	switch show := string(out); {
	case strings.Contains(show, "LoadState=not-found"):
		return NotInstalled, nil
	case strings.Contains(show, "ActiveState=inactive"):
		return Stopped, nil
	case strings.Contains(show, "ActiveState=failed"):
		return Failed, nil
	}
	return Running, nil
}

func (s Service) unit() systemd.Unit {
	return systemd.Unit{Name: s.Name, Description: s.description(), Command: s.Command, Config: s.Config, LowPorts: s.LowPorts}
}

// unitFile is where the unit is that Install writes.
func (s Service) unitFile() string { return "/etc/systemd/system/" + s.unit().FileName() }

// mayRemove refuses to remove a unit that Install has not written.
func (s Service) mayRemove() error {
	if _, err := os.Stat(s.unitFile()); err != nil {
		return fmt.Errorf("its unit is not one of relay service install (%w): remove the package that it belongs to, or   systemctl disable --now %s", err, s.Name)
	}
	return nil
}

// prepare makes the group that may read the configuration, and refuses what the service could
// not read.
func (s Service) prepare() error {
	group, err := user.LookupGroup(systemd.ConfigGroup)
	if _, missing := errors.AsType[user.UnknownGroupError](err); missing {
		if out, err := exec.Command("groupadd", "--system", systemd.ConfigGroup).CombinedOutput(); err != nil {
			return fmt.Errorf("groupadd: %w: %s", err, out)
		}
		group, err = user.LookupGroup(systemd.ConfigGroup)
	}
	if err != nil {
		return err
	}
	if err := visible(s.Command); err != nil {
		return fmt.Errorf("%w: install it elsewhere, and run that one:   sudo install %s /usr/local/bin/relay", err, s.Command)
	}
	for _, path := range append([]string{s.Config}, s.Reads...) {
		if err := readable(path, group.Gid); err != nil {
			return err
		}
	}
	return nil
}

// managerConfig has the whole unit as the template, in which nothing is to be filled in.
func (s Service) managerConfig() (*service.Config, error) {
	text, err := s.unit().Text()
	if err != nil {
		return nil, err
	}
	if strings.Contains(text, "{{") {
		return nil, fmt.Errorf("%s: a path must not have {{ in it", s.Config)
	}
	return &service.Config{Name: s.Name, Executable: s.Command, Option: service.KeyValue{"SystemdScript": text}}, nil
}

func (s Service) whereItLogs() string { return "journalctl -u " + s.Name }

// StateDir returns the folder that outlives the service.
func (s Service) StateDir() string { return "/var/lib/private/" + s.Name }
