package auth

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// pollInterval is how often a file is looked at. Asking costs a system call,
// which works on every file system, over networks too.
const pollInterval = time.Second

// File is a tokens file in force. It notices by itself when the file changes: one
// to two seconds later the new tokens are in force, or at once with Reload. A file
// that has become wrong or unreadable, or is gone, is logged, and leaves the tokens
// as they were: it neither locks anybody out nor lets anybody in.
//
// Make it with Open. Its methods may be called concurrently.
type File struct {
	path   string
	log    *slog.Logger
	tokens atomic.Pointer[Tokens]

	loading   sync.Mutex  // guards what follows
	loaded    fs.FileInfo // what was read last, good or wrong; nil if nothing was
	seen      fs.FileInfo // what there was at the last look
	replaced  int         // looks in a row at which it was another file
	complaint string      // what was logged last, and is still so

	mu      sync.Mutex // guards what follows
	watches map[*watch]struct{}

	stopping, stopped chan struct{}
	stop              sync.Once
}

// watch is one who wants to know when an identity no longer holds.
type watch struct {
	check func(t *Tokens, now time.Time) error
	ended func(reason error)
}

// Open reads a tokens file, and keeps an eye on it until Close. It refuses what
// Read refuses.
func Open(path string, log *slog.Logger) (*File, error) {
	tokens, info, err := read(path)
	if err != nil {
		return nil, err
	}
	f := &File{
		path:     path,
		log:      log,
		loaded:   info,
		seen:     info,
		watches:  make(map[*watch]struct{}),
		stopping: make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	f.put(tokens)
	go f.run()
	return f, nil
}

// Close ends what Open has begun. Nobody who watches is told anything from then
// on, and the tokens stay as they are. It waits for a callback that runs, and so
// must not be called by one.
func (f *File) Close() {
	f.stop.Do(func() { close(f.stopping) })
	<-f.stopped
}

// Identify gives the identity whose secret is shown, as Tokens.Identify does.
func (f *File) Identify(secret string) (Identity, error) {
	return f.tokens.Load().Identify(secret, time.Now())
}

// All gives the identities that are in force, in the order of the file.
func (f *File) All() []Identity { return f.tokens.Load().All() }

// Watch calls ended, once, when an identity that Identify gave no longer holds:
// it has expired, or its line is gone, has another hash, or allows other things
// (an expiry that is moved ends nothing). The reason wraps ErrExpired, ErrRevoked,
// ErrReplaced or ErrChanged. It is told within a second of the time of expiry, and of
// the moment when new tokens are in force.
//
// Callbacks come one after the other, so ended must not wait. Call stop when it is
// no longer of interest; it may be called more than once, and does not wait for a
// callback that runs already.
func (f *File) Watch(id Identity, ended func(reason error)) (stop func()) {
	return f.watch(&watch{func(t *Tokens, now time.Time) error { return t.Check(id, now) }, ended})
}

// WatchName is Watch for whoever knows no more of an identity than its name: ended
// is called when there is none of this name, it has expired, or still gives an
// error, which is then the reason. If that is so by now, that is the error, and
// ended is not called. Still must not wait.
func (f *File) WatchName(name string, still func(Identity) error, ended func(reason error)) (stop func(), err error) {
	check := func(t *Tokens, now time.Time) error {
		id := t.byName[name]
		switch {
		case id == nil:
			return fmt.Errorf("%s: %w", name, ErrRevoked)
		case id.Expired(now):
			return fmt.Errorf("%s: %w", name, ErrExpired)
		}
		return still(*id)
	}
	if err := check(f.tokens.Load(), time.Now()); err != nil {
		return nil, err
	}
	return f.watch(&watch{check, ended}), nil
}

func (f *File) watch(w *watch) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watches[w] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watches, w)
	}
}

// Reload reads the file again, whether it seems to have changed or not. What is
// wrong with it is logged, too; the tokens are then those from before.
func (f *File) Reload() error {
	f.loading.Lock()
	defer f.loading.Unlock()
	f.complaint = "" // who asks again is told again
	return f.loadLocked()
}

func (f *File) run() {
	defer close(f.stopped)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.poll()
			f.tell(time.Now())
		case <-f.stopping:
			return
		}
	}
}

// mostReplaced is how many looks a file that is replaced all the time is left alone
// for: who is revoked in it has to be gone within 5 seconds.
const mostReplaced = 2

// poll reads the file if it has changed, and not again since the last look.
// Whoever writes it in place empties it first, and that must not end sessions.
// And then no later change can have the same time of modification. One that is
// replaced all the time is whole each time, and is read, too. One that is wrong is read
// at each look: it may be put right where no change is seen, as by a chown or a mount.
func (f *File) poll() {
	f.loading.Lock()
	defer f.loading.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		f.loaded, f.seen = nil, nil
		f.complainLocked(err)
		return
	}
	settled := same(info, f.seen)
	if f.seen != nil && !os.SameFile(info, f.seen) {
		f.replaced++
	} else {
		f.replaced = 0
	}
	f.seen = info
	switch {
	case settled && (f.complaint != "" || !same(info, f.loaded)):
		_ = f.loadLocked() // it is logged
	case f.replaced > mostReplaced:
		_ = f.loadLocked()
		f.loaded, f.replaced = nil, 0 // or one that comes in the same moment would pass for it
	}
}

func (f *File) loadLocked() error {
	tokens, info, err := read(f.path)
	f.loaded = info
	if err != nil {
		f.complainLocked(err)
		return err
	}
	f.complaint = ""
	f.put(tokens)
	return nil
}

func (f *File) put(tokens *Tokens) {
	f.tokens.Store(tokens)
	f.log.Info("the tokens file was read", "path", f.path, "identities", len(tokens.all))
}

// complainLocked logs what is wrong, once for as long as it is the same.
func (f *File) complainLocked(err error) {
	if f.complaint == err.Error() {
		return
	}
	f.complaint = err.Error()
	f.log.Error("the tokens file cannot be used; the tokens from before stay in force", "path", f.path, "error", err)
}

// tell tells everybody whose identity no longer holds. It looks at all of them
// each time: a few hundred nanoseconds for each, of at most one for each port.
func (f *File) tell(now time.Time) {
	tokens := f.tokens.Load()
	over := make(map[*watch]error)
	f.mu.Lock()
	for w := range f.watches {
		if reason := w.check(tokens, now); reason != nil {
			delete(f.watches, w)
			over[w] = reason
		}
	}
	f.mu.Unlock()
	for w, reason := range over {
		w.ended(reason)
	}
}

// same tells whether a file is the one that it was, as far as can be told without
// reading it.
func same(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) &&
		a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}
