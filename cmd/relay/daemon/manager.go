//go:build darwin || windows

package daemon

import (
	"errors"

	"github.com/kardianos/service"
)

// Status returns what the service does.
func (s Service) Status() (State, error) {
	managed, err := s.managed()
	if err != nil {
		return NotInstalled, err
	}
	switch state, err := managed.Status(); {
	case errors.Is(err, service.ErrNotInstalled):
		return NotInstalled, nil
	case err != nil:
		return NotInstalled, explain(err)
	case state == service.StatusRunning:
		return Running, nil
	}
	return Stopped, nil
}
