package auth_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/auth"
)

// Time in these tests is synctest's: it stands still while anything runs, and begins at
// the start of the year 2000.

// rig is a file in force, and its log.
type rig struct {
	*testing.T
	*auth.File
	path string
	log  *logged
}

type logged struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// count returns how often what is in the log.
func (l *logged) count(what string) int {
	return strings.Count(l.String(), what)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// with runs a test with a file of this content.
func with(t *testing.T, content string, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logged)
		path := write(t, content)
		f, err := auth.Open(path, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		test(&rig{t, f, path, log})
	})
}

// replace replaces the file by another one, as editors do.
func (r *rig) replace(content string) {
	r.Helper()
	if err := os.Rename(write(r.T, content), r.path); err != nil {
		r.Fatal(err)
	}
}

// overwrite writes to the file in place, as shells do. Its time is the test's: too
// little real time passes in a test for files to differ in it.
func (r *rig) overwrite(content string) {
	r.Helper()
	if err := os.WriteFile(r.path, []byte(content), 0o600); err != nil {
		r.Fatal(err)
	}
	if err := os.Chtimes(r.path, time.Time{}, time.Now()); err != nil {
		r.Fatal(err)
	}
}

// pass lets time pass, and waits for everything that happens in it.
func (r *rig) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (r *rig) identify(secret string) auth.Identity {
	r.Helper()
	id, err := r.Identify(secret)
	if err != nil {
		r.Fatal(err)
	}
	return id
}

// watched records the calls of a watch.
type watched struct {
	stop func()

	mu   sync.Mutex // guards what follows
	all  []error
	last time.Time
}

// watch watches the identity of a secret.
func (r *rig) watch(secret string) *watched {
	r.Helper()
	w := new(watched)
	w.stop = r.Watch(r.identify(secret), func(reason error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = append(w.all, reason)
		w.last = time.Now()
	})
	return w
}

func (w *watched) reasons() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all
}

func (w *watched) at() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func (w *watched) told(reason error) bool {
	all := w.reasons()
	return len(all) == 1 && errors.Is(all[0], reason)
}

const (
	lineA = "db1 " + hash + "\n"
	lineB = "db2 " + otherHash + "\n"
)

// settle is the time until a change is in force, and every watch is notified.
const settle = 2*time.Second + time.Millisecond
