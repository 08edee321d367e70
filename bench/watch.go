//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/api"
)

const (
	// watchEvery is how often Prometheus scrapes, and the page asks.
	watchEvery = time.Second
	// pageUsers is how many users the page asks for.
	pageUsers = 10_000
	// apiPath is what the paths of the admin API begin with.
	apiPath = "/api/v1/"
)

// watch has a relay that runs watched, as its operators would, until the setup is stopped.
func (s *setup) watch(ctx context.Context, b *bench, at *site) error {
	_, port, err := net.SplitHostPort(s.control)
	if err != nil {
		return fmt.Errorf("the control port: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("the control port: %w", err)
	}
	w, err := start(at.near.command(b.self, "watch", filepath.Join(at.dir, api.SocketName(api.Relay, number))))
	if err != nil {
		return err
	}
	s.watcher = w
	if _, err := w.line(ctx, startPatience); err != nil {
		return fmt.Errorf("watching the relay: %w", err)
	}
	return nil
}

// watchers returns the watcher, if there is one.
func (s *setup) watchers() []*process {
	if s.watcher == nil {
		return nil
	}
	return []*process{s.watcher}
}

// watched fails if the relay was to be watched, and is not any more.
func (s *setup) watched() error {
	if s.watcher == nil {
		return nil
	}
	select {
	case <-s.watcher.exited:
		return fmt.Errorf("the relay is watched no more: %s", s.watcher.errors.String())
	default:
		return nil
	}
}

// watching is what the watchers have used of the processors while relays were measured. Its
// methods may be called concurrently.
type watching struct {
	mu        sync.Mutex // guards what follows
	cpu, took time.Duration
}

func (w *watching) add(cpu, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cpu += cpu
	w.took += took
}

func (w *watching) note() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("The relays of relay-... are watched. The watcher keeps %.2f %% of one processor busy, "+
		"which is not in the figures of CPU.", 100*w.cpu.Seconds()/max(w.took.Seconds(), 1))
}

// watchMain watches the relay whose admin socket has the path: it scrapes its metrics, asks
// what the page of a tunnel asks, and has an event stream open that nobody reads.
func watchMain(ctx context.Context, socket string, stdout io.Writer) error {
	w := newWatcher(socket)
	if err := w.persist(ctx); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, readyLine); err != nil {
		return fmt.Errorf("saying that it begins: %w", err)
	}
	failed := make(chan error, 3)
	for _, look := range []func(context.Context) error{w.scrape, w.page, w.keepReader} {
		go func() { failed <- repeat(ctx, look) }()
	}
	return <-failed // and the others end with the process
}

// repeat looks each second, and less often if an answer takes long, as the page does.
func repeat(ctx context.Context, look func(context.Context) error) error {
	for {
		begin := time.Now()
		if err := look(ctx); err != nil {
			return err
		}
		took := time.Since(begin)
		select {
		case <-time.After(max(watchEvery-took, 3*took)):
		case <-ctx.Done():
			return nil
		}
	}
}

// watcher asks a relay over its admin socket. It does not look at what it is told, so that
// it takes little from those who are measured.
type watcher struct {
	socket string
	client *http.Client
	tunnel string   // whose page is open, once there is one
	reader net.Conn // that never reads
}

func newWatcher(socket string) *watcher {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	// Compressed answers stay so.
	return &watcher{socket: socket, client: &http.Client{Transport: &http.Transport{
		DialContext: dial, MaxIdleConnsPerHost: 4, DisableCompression: true,
	}}}
}

// persist waits until the relay answers everything.
func (w *watcher) persist(ctx context.Context) error {
	return persist(ctx, func(ctx context.Context) error {
		return errors.Join(w.scrape(ctx), w.page(ctx), w.keepReader(ctx))
	})
}

// scrape asks as Prometheus does.
func (w *watcher) scrape(ctx context.Context) error {
	return w.get(ctx, "/metrics", discard)
}

// page asks what internal/page/files/app/live.js asks while a tunnel is shown.
func (w *watcher) page(ctx context.Context) error {
	found := discard
	if w.tunnel == "" {
		found = w.first
	}
	if err := errors.Join(w.get(ctx, apiPath+"status", discard), w.get(ctx, apiPath+"tunnels", found)); err != nil || w.tunnel == "" {
		return err
	}
	of := url.Values{"tunnel": {w.tunnel}, "limit": {strconv.Itoa(pageUsers)}}
	return w.get(ctx, apiPath+"users?"+of.Encode(), discard)
}

func discard(body io.Reader) error {
	_, err := io.Copy(io.Discard, body)
	return err //nolint:wrapcheck // get does
}

// first opens the page of the first tunnel.
func (w *watcher) first(body io.Reader) error {
	var tunnels []api.Tunnel
	if err := json.NewDecoder(body).Decode(&tunnels); err != nil {
		return fmt.Errorf("a list of tunnels: %w", err)
	}
	if len(tunnels) > 0 {
		w.tunnel = tunnels[0].ID
	}
	return nil
}

func (w *watcher) get(ctx context.Context, path string, read func(io.Reader) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://relay"+path, nil)
	if err != nil {
		return fmt.Errorf("asking for %s: %w", path, err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1")
	answer, err := w.client.Do(r)
	if err != nil {
		return fmt.Errorf("asking for %s: %w", path, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("asking for %s: %s", path, answer.Status)
	}
	if err := read(answer.Body); err != nil {
		return fmt.Errorf("the answer to %s: %w", path, err)
	}
	return nil
}

// keepReader opens the stream of events, again if the relay has cut it off.
func (w *watcher) keepReader(ctx context.Context) error {
	if w.reader != nil {
		gone, err := hungUp(w.reader.(*net.UnixConn))
		if err != nil || !gone {
			return err
		}
		_ = w.reader.Close()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	if err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	w.reader = conn
	if _, err := io.WriteString(conn, "GET "+apiPath+"events HTTP/1.1\r\nHost: relay\r\n\r\n"); err != nil {
		return fmt.Errorf("asking for events: %w", err)
	}
	return nil
}

// hungUp reports whether the other side has closed the connection, and reads nothing.
func hungUp(conn *net.UnixConn) (gone bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, fmt.Errorf("looking at a socket: %w", err)
	}
	cerr := raw.Control(func(fd uintptr) {
		of := []unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // descriptors are small
		_, err = unix.Poll(of, 0)
		gone = of[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	if err = errors.Join(cerr, err); err != nil {
		return false, fmt.Errorf("looking at a socket: %w", err)
	}
	return gone, nil
}
