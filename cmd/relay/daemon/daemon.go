// Package daemon makes Relay a service of this machine: of systemd, of launchd, or of Windows.
package daemon

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kardianos/service"
)

// Service is a service that runs what a configuration file says. All of its methods need the
// rights of an administrator, but for Status.
type Service struct {
	Name     string   // relay, or relay- and more
	Command  string   // absolute path of the command relay; for Install
	Config   string   // absolute path of the file; for Install
	Reads    []string // files that the configuration names, which the service has to read, too
	LowPorts bool     // it may listen on ports below 1024, where a system asks for rights
}

// State is what a service does.
type State string

// States of a service.
const (
	Running      State = "running" // or starts, or ends
	Stopped      State = "stopped"
	Failed       State = "failed" // stopped, and not because somebody wanted that
	NotInstalled State = "not installed"
)

// Why a service is not installed, or not removed.
var (
	ErrInstalled    = errors.New("is installed already")
	ErrNotInstalled = errors.New("is not installed")
	ErrRights       = errors.New("needs the rights of an administrator")
)

// Install makes the service start now, and with the machine. It has begun to serve when Install
// returns, where the system can tell.
func (s Service) Install() error {
	if err := mayManage(); err != nil {
		return err
	}
	switch state, err := s.Status(); {
	case err != nil:
		return err
	case state != NotInstalled:
		return fmt.Errorf("%s %w", s.Name, ErrInstalled)
	}
	if err := s.prepare(); err != nil {
		return err
	}
	managed, err := s.managed()
	if err != nil {
		return err
	}
	if err := managed.Install(); err != nil {
		return explain(err)
	}
	if err := managed.Start(); err != nil {
		return fmt.Errorf("it is installed, and does not start: %w: %s", explain(err), s.whereItLogs())
	}
	return nil
}

// Uninstall ends the service, and removes it. It leaves the configuration and the state
// directory. Both are for the caller to name.
func (s Service) Uninstall() error {
	if err := mayManage(); err != nil {
		return err
	}
	switch state, err := s.Status(); {
	case err != nil:
		return err
	case state == NotInstalled:
		return fmt.Errorf("%s %w", s.Name, ErrNotInstalled)
	}
	if err := s.mayRemove(); err != nil {
		return err
	}
	managed, err := s.managed()
	if err != nil {
		return err
	}
	stopErr := managed.Stop() // fails if it does not run
	if err := managed.Uninstall(); err != nil {
		return errors.Join(explain(err), stopErr)
	}
	return nil
}

// managed returns the service as its manager has it.
func (s Service) managed() (service.Service, error) {
	config, err := s.managerConfig()
	if err != nil {
		return nil, err
	}
	return service.New(nil, config)
}

// description is what a list of services shows.
func (s Service) description() string {
	if name, ok := strings.CutPrefix(s.Name, "relay-"); ok {
		return "Relay, " + name
	}
	return "Relay"
}

// explain makes one line of the error of a manager's command.
func explain(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}
