package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/upgrade"
)

// within does something that waits for the heir, which is killed after that time, and when ctx
// is done: then what waits ends, and the error is why. It ends, too, when the heir has ended
// and a process that the heir has left still has the link.
func within(ctx context.Context, heir *upgrade.Heir, limit time.Duration, do func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it is not ready after %v", limit))
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-heir.Ended():
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(lastWords): // which may be read still
			giveUp(errEnded)
		case <-ctx.Done():
		}
	})
	defer watching.Wait()
	defer giveUp(nil)
	stop := context.AfterFunc(ctx, func() {
		heir.Kill()
		_ = heir.Close() // others may have the other end
	})
	err := do()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// end ends an heir because of an error, at once unless it ends by itself.
func end(heir *upgrade.Heir, err error) {
	if errors.Is(err, errEnded) || errors.As(err, new(toldError)) {
		select {
		case <-heir.Ended():
		case <-time.After(lastWords):
		}
	}
	heir.Kill()
}

// errEnded is the error of a process that is there no more.
var errEnded = errors.New("it has ended")

// isEnd reports whether an error of a link is the end of the other process.
func isEnd(err error) bool {
	return errors.Is(err, errEnded) || errors.Is(err, io.EOF) || sockerr.Is(err, syscall.EPIPE, syscall.ECONNRESET)
}

// lastWords is how long an heir may take to end that has failed.
const lastWords = 2 * time.Second

// toldError is what the heir says about its failure.
type toldError struct{ text string }

func (e toldError) Error() string { return e.text }

// await waits for a message of that kind.
func await(link *upgrade.Link, kind upgrade.Kind) (upgrade.Message, error) {
	m, fd, err := link.Receive()
	upgrade.CloseFD(fd)
	switch {
	case isEnd(err):
		return m, errEnded
	case err != nil:
		return m, err
	case m.Kind == upgrade.Failed:
		return m, toldError{m.Text}
	case m.Kind != kind:
		return m, fmt.Errorf("it says %s in place of %s", m.Kind, kind)
	}
	return m, nil
}
