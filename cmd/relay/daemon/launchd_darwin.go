package daemon

import (
	"os"

	"github.com/kardianos/service"
)

func mayManage() error {
	if os.Geteuid() != 0 {
		return ErrRights
	}
	return nil
}

// prepare makes the state directory, which launchd makes for nobody.
func (s Service) prepare() error { return os.MkdirAll(s.StateDir(), 0o700) }

func (s Service) mayRemove() error { return nil }

// managerConfig has launchd start the service with the machine, and whenever it has ended.
func (s Service) managerConfig() (*service.Config, error) {
	return &service.Config{
		Name: s.Name, Description: s.description(), Executable: s.Command,
		Arguments: []string{"--config", s.Config, "--stateDir", s.StateDir()},
		Option:    service.KeyValue{"RunAtLoad": true, "KeepAlive": true},
	}, nil
}

func (s Service) whereItLogs() string { return "see /var/log/" + s.Name + ".err.log" }

// StateDir returns the folder that outlives the service.
func (s Service) StateDir() string { return "/Library/Application Support/" + s.Name }
