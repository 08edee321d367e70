//go:build !linux && !darwin && !windows

package daemon

import (
	"errors"

	"github.com/kardianos/service"
)

var errSystem = errors.New("this is for systemd, launchd and Windows: here have the system's own service run   relay --config <file>")

func mayManage() error { return errSystem }

// Status returns an error.
func (s Service) Status() (State, error) { return NotInstalled, errSystem }

func (s Service) prepare() error                          { return errSystem }
func (s Service) mayRemove() error                        { return errSystem }
func (s Service) managerConfig() (*service.Config, error) { return nil, errSystem }
func (s Service) whereItLogs() string                     { return "" }

// StateDir returns nothing.
func (s Service) StateDir() string { return "" }
