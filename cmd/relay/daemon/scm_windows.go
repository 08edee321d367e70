package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/kardianos/service"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
)

func mayManage() error {
	if !windows.GetCurrentProcessToken().IsElevated() {
		return ErrRights
	}
	return nil
}

// prepare has nothing to do: the service makes its state directory, or that would not be its own.
func (s Service) prepare() error { return nil }

func (s Service) mayRemove() error { return nil }

// managerConfig has the service run with an account of few rights, and start again ten seconds
// after it has failed.
func (s Service) managerConfig() (*service.Config, error) {
	return &service.Config{
		Name: s.Name, DisplayName: s.description(), Executable: s.Command, UserName: `NT AUTHORITY\LocalService`,
		Description: "Puts servers online that cannot be reached: https://github.com/seed96252745/relay",
		Arguments:   []string{"service", "run", "--name", s.Name, "--config", s.Config},
		Option:      service.KeyValue{"OnFailure": "restart", "OnFailureDelayDuration": "10s", "OnFailureResetPeriod": 60},
	}, nil
}

func (s Service) whereItLogs() string {
	return "see the source " + s.Name + " in the event log of Windows"
}

// StateDir returns the folder that outlives the service: one that other accounts cannot read.
func (s Service) StateDir() string {
	return filepath.Join(os.Getenv("SystemRoot"), "ServiceProfiles", "LocalService", "AppData", "Roaming", s.Name)
}

// Run runs do as the service of this name, for Windows, which has started this process. The
// context is done when Windows wants the service to end. What do writes to log is in the event
// log. Its exit status 0 is a service that has ended; with one in final Windows is told that it
// failed, and does not start it again, as it does with any other.
func Run(ctx context.Context, name string, final []int, do func(ctx context.Context, log io.Writer) (status int)) error {
	log, err := eventlog.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // nothing is written any more
	err = svc.Run(name, handler{ctx, final, func(ctx context.Context) int { return do(ctx, events{log}) }})
	if errors.Is(err, windows.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) {
		return errors.New("only Windows runs this, as a service: at a prompt type   relay --config <file>")
	}
	return err
}

// handler is the service, as Windows sees it.
type handler struct {
	ctx   context.Context
	final []int
	do    func(context.Context) int
}

// Execute serves until Windows wants the service to end, or it has ended by itself.
func (h handler) Execute(_ []string, requests <-chan svc.ChangeRequest, now chan<- svc.Status) (specific bool, code uint32) {
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- h.do(ctx) }()
	now <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case request := <-requests:
			switch request.Cmd {
			case svc.Interrogate:
				now <- request.CurrentStatus
			case svc.Stop, svc.Shutdown:
				cancel()
				now <- svc.Status{State: svc.StopPending}
			}
		case status := <-ended:
			if status != 0 && !slices.Contains(h.final, status) {
				os.Exit(status) // without a word to Windows, which takes it for a crash and starts it again
			}
			return status != 0, uint32(status)
		}
	}
}

// events writes each line as an event.
type events struct{ *eventlog.Log }

func (e events) Write(line []byte) (int, error) {
	const information = 1 // the ID of each event, which is all that Windows asks for
	if err := e.Info(information, string(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}
