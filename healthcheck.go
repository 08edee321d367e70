package relay

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/wire"
)

// HealthCheck is how a Forwarder finds out whether the local server can serve users. While it
// cannot, the forwarder says so to the relay, which gives it no users: they wait, and are reset
// when that takes too long. At a relay of an earlier version it has no effect but in the state.
// The zero value connects to the local server, and closes that connection.
type HealthCheck struct {
	// Path, if it is set, is asked for with HTTP. Redirects are not followed. The Host header
	// has the address of the local server, or localhost for a Unix socket.
	Path string
	// Status is the status that Path has to have. Zero means any from 200 to 299.
	Status int
	// Interval is the pause between two checks, from a second to an hour. Zero means
	// DefaultHealthInterval. While a check has failed there is one each second.
	Interval time.Duration
	// Timeout is how long a check may take, at most a minute. Zero means DefaultHealthTimeout.
	Timeout time.Duration
}

const (
	// DefaultHealthInterval is how often a HealthCheck checks by default: half of the time
	// that a relay has users wait, so that few who come to a server that has gone are reset.
	DefaultHealthInterval = 5 * time.Second
	// DefaultHealthTimeout is how long it waits by default. A loaded server takes a second.
	DefaultHealthTimeout = 2 * time.Second
)

const (
	minHealthInterval = time.Second // which is also the pause after a check that has failed
	maxHealthInterval = time.Hour
	maxHealthTimeout  = time.Minute
	// maxHealthFailures is how many checks in a row have to fail for a server that was up to be
	// down: one alone may be an accident, such as a full backlog. One that succeeds has it up.
	maxHealthFailures = 2
	// soonestHealthCheck is how soon after another check there is one because a user was not
	// accepted: many may not be, of a server that checks find up.
	soonestHealthCheck = 100 * time.Millisecond
	// maxHealthAnswer bounds what is read of an answer, in bytes, and maxInterim how many
	// answers there may be before it, with a status such as 103.
	maxHealthAnswer = 64 << 10
	maxInterim      = 5
)

// withDefaults returns a complete copy.
func (h HealthCheck) withDefaults() HealthCheck {
	h.Interval = cmp.Or(h.Interval, DefaultHealthInterval)
	h.Timeout = cmp.Or(h.Timeout, DefaultHealthTimeout)
	return h
}

// Validate returns an error if the check makes no sense.
func (h HealthCheck) Validate() error {
	h = h.withDefaults()
	switch {
	case h.Interval < minHealthInterval || h.Interval > maxHealthInterval:
		return fmt.Errorf("relay: a health check every %v: it can be every %v to %v", h.Interval, minHealthInterval, maxHealthInterval)
	case h.Timeout < 0 || h.Timeout > maxHealthTimeout:
		return fmt.Errorf("relay: a health check with a timeout of %v: it can be up to %v", h.Timeout, maxHealthTimeout)
	case h.Status != 0 && (h.Status < 200 || h.Status > 599):
		return fmt.Errorf("relay: a health check that wants the status %d: it can be 200 to 599", h.Status)
	case h.Status != 0 && h.Path == "":
		return errors.New("relay: a health check that wants a status needs a path")
	case h.Path == "":
		return nil
	}
	if _, err := url.ParseRequestURI(h.Path); err != nil || h.Path[0] != '/' || strings.Contains(h.Path, " ") {
		return fmt.Errorf("relay: a health check of the path %+.40q: it has to begin with a slash and to have no spaces, such as /healthz", h.Path)
	}
	return nil
}

// checker checks a local server.
type checker struct {
	HealthCheck
	backend *backend
	refused chan struct{} // holds one item if a user was not accepted; never closed
	// Only the goroutine of run uses what follows.
	failed int  // checks in a row
	known  bool // how the server does
}

func newChecker(b *backend, h HealthCheck) *checker {
	return &checker{HealthCheck: h, backend: b, refused: make(chan struct{}, 1)}
}

// run checks until ctx is done.
func (c *checker) run(ctx context.Context) {
	for {
		began := time.Now()
		err := c.check(ctx)
		if ctx.Err() != nil {
			return
		}
		c.note(time.Since(began), err)
		pause := c.Interval
		if err != nil {
			pause = minHealthInterval
		}
		c.rest(ctx, began, pause)
	}
}

// rest waits until the next check, or until ctx is done. If a user is not accepted that is as
// good as a check that has failed, and the next one shows at once whether more would not be.
func (c *checker) rest(ctx context.Context, began time.Time, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-c.refused:
			c.failed++
			timer.Reset(soonestHealthCheck - time.Since(began))
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// noteRefused notes that a user was not accepted. It does not wait.
func (c *checker) noteRefused() {
	select {
	case c.refused <- struct{}{}:
	default: // it is noted already
	}
}

// note has the relay, the log and the state know what a check has found.
func (c *checker) note(took time.Duration, err error) {
	if c.failed++; err == nil {
		c.failed = 0
	}
	if c.known && err != nil && c.failed < maxHealthFailures {
		return
	}
	c.known = true
	c.backend.noteLocal(took, err)
	failure := wire.ProbeFailure("")
	if err != nil {
		failure = healthFailure(err)
	}
	c.backend.serving.change(failure)
}

// healthFailure returns what the relay is told of an error.
func healthFailure(err error) wire.ProbeFailure {
	failure := probeFailure(err)
	if failure == wire.ProbeOther {
		return wire.ProbeUnhealthy
	}
	return failure
}

// check checks once. A panic is an error of this check.
func (c *checker) check(ctx context.Context) (err error) {
	defer func() {
		if p := crash.Caught(recover()); p != nil {
			c.backend.logPanic(p)
			err = p
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if c.Path != "" {
		err = c.get(ctx)
	} else {
		var conn net.Conn
		if conn, err = c.backend.local.addr.Dial(ctx); err == nil {
			_ = conn.Close()
		}
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it has not answered the health check within %v: %w", c.Timeout, context.DeadlineExceeded)
	}
	return err
}

// get asks for the path on a connection of its own, and returns an error if the status is not
// the wanted one. It reads a bounded part of the rest, so that a server can end it as it likes.
//
// A program that uses the library gets no HTTP client with it: a request with a fixed form, and
// a status, need none.
func (c *checker) get(ctx context.Context) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	path, err := url.ParseRequestURI(c.Path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: relay-health-check\r\nConnection: close\r\n\r\n", path.RequestURI(), c.backend.local.addr.HTTPHost())
	if err != nil {
		return err
	}
	r := bufio.NewReader(io.LimitReader(conn, maxHealthAnswer))
	status, err := readStatus(r)
	if err != nil {
		return fmt.Errorf("the answer to the health check: %w", err)
	}
	_, _ = io.Copy(io.Discard, r)
	if status == c.Status || c.Status == 0 && status/100 == 2 {
		return nil
	}
	return fmt.Errorf("the health check fails: %s has the status %d", c.Path, status)
}

// readStatus returns the status of an answer (RFC 9112, 4), whose header it reads. It passes
// over interim ones (RFC 9110, 15.2), such as 103.
func readStatus(r *bufio.Reader) (int, error) {
	answer := textproto.NewReader(r)
	for range maxInterim + 1 {
		line, err := answer.ReadLine()
		if err != nil {
			return 0, err
		}
		version, rest, _ := strings.Cut(line, " ")
		code, _, _ := strings.Cut(rest, " ")
		status, err := strconv.Atoi(code)
		if !strings.HasPrefix(version, "HTTP/1.") || len(code) != 3 || err != nil {
			return 0, errors.New("it is not HTTP/1.1")
		}
		if _, err := answer.ReadMIMEHeader(); err != nil {
			return 0, err
		}
		if status/100 != 1 {
			return status, nil
		}
	}
	return 0, errors.New("it does not end")
}

// connect connects for HTTP: a local server that wants a PROXY header gets one without a user.
func (c *checker) connect(ctx context.Context) (net.Conn, error) {
	conn, err := c.backend.local.addr.Dial(ctx)
	if err != nil || c.backend.proxyProtocol == 0 {
		return conn, err
	}
	header, err := proxyproto.Header(c.backend.proxyProtocol, nil, nil)
	if err == nil {
		_, err = conn.Write(header)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
