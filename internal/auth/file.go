package auth

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/secretfile"
)

// pollInterval is how often a file is checked. A check is one system call, which works
// on every file system, network file systems included.
const pollInterval = time.Second

// File is a tokens file in force. It notices when the file changes: one to two seconds
// later the new tokens are in force, or at once with Reload. If the file has become
// wrong or unreadable, or is gone, that is logged and the tokens stay as they were: it
// neither locks anybody out nor lets anybody in.
//
// Make it with Open. Its methods may be called concurrently.
type File struct {
	log    *slog.Logger
	tokens atomic.Pointer[Tokens]

	trouble atomic.Pointer[string] // why the file cannot be used; nil is that it can

	loadMu       sync.Mutex // guards what follows
	path         string
	loaded       fs.FileInfo // the file that was read last, good or wrong; nil if none was
	seen         fs.FileInfo // the file at the last check
	replacements int         // checks in a row that found another file
	lastError    string      // the last logged error, while it persists

	mu      sync.Mutex // guards what follows
	watches map[*watch]struct{}

	stopping, stopped chan struct{}
	stop              sync.Once
}

// watch waits for the end of an identity.
type watch struct {
	check func(t *Tokens, now time.Time) error
	ended func(reason error)
}

// Open reads a tokens file, and watches it until Close. It refuses what Read refuses.
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
	f.use(tokens)
	go f.run()
	return f, nil
}

// Trouble returns why the file cannot be used as it is now, and the tokens before stay in
// force, or "". It does not wait.
func (f *File) Trouble() string {
	if text := f.trouble.Load(); text != nil {
		return *text
	}
	return ""
}

// Close stops watching the file. No watch is notified after that, and the tokens stay
// as they are. It waits for a running callback, and so must not be called by one.
func (f *File) Close() {
	f.stop.Do(func() { close(f.stopping) })
	<-f.stopped
}

// Identify returns the identity of a secret, as Tokens.Identify does.
func (f *File) Identify(secret string) (Identity, error) {
	return f.tokens.Load().Identify(secret, time.Now())
}

// Watch calls ended, once, when an identity from Identify no longer holds: it has
// expired, or its line is gone, has another hash, or allows other things (a new expiry
// ends nothing). The reason wraps ErrExpired, ErrRevoked, ErrReplaced or ErrChanged.
// The call comes within a second of the expiry, or of the moment when new tokens are in
// force.
//
// Callbacks run one after the other, so ended must not wait. Call stop when the
// identity is of no more interest. It may be called more than once, and does not wait
// for a running callback.
func (f *File) Watch(id Identity, ended func(reason error)) (stop func()) {
	return f.watch(&watch{func(t *Tokens, now time.Time) error { return t.Check(id, now) }, ended})
}

// WatchName is Watch for a caller that knows only the name of an identity. It calls
// ended when no identity has this name, when it has expired, or when holds returns an
// error, which is then the reason. If that is already so it returns the reason as its
// error, and does not call ended. Holds must not wait.
func (f *File) WatchName(name string, holds func(Identity) error, ended func(reason error)) (stop func(), err error) {
	check := func(t *Tokens, now time.Time) error {
		id := t.byName[name]
		switch {
		case id == nil:
			return fmt.Errorf("%s: %w", name, ErrRevoked)
		case id.Expired(now):
			return fmt.Errorf("%s: %w", name, ErrExpired)
		}
		return holds(*id)
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

// Reload reads the file again, whether it has changed or not. An error is logged too,
// and then the previous tokens stay.
func (f *File) Reload() error {
	f.loadMu.Lock()
	defer f.loadMu.Unlock()
	f.lastError = "" // the caller asks again, so the error is logged again
	return f.loadLocked()
}

// Prepare reads the tokens file at path, which may be another one than before. Use puts it in
// force in place of the one before: identities that both have in the same way hold on, and
// the others end as if their lines had gone.
func (f *File) Prepare(path string) (use func(), err error) {
	tokens, info, err := read(path)
	if err != nil {
		return nil, err
	}
	return func() {
		f.loadMu.Lock()
		f.path, f.loaded, f.seen, f.replacements, f.lastError = path, info, info, 0, ""
		f.trouble.Store(nil)
		f.use(tokens)
		f.loadMu.Unlock()
	}, nil
}

func (f *File) run() {
	defer close(f.stopped)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.poll()
			f.notify(time.Now())
		case <-f.stopping:
			return
		}
	}
}

// maxReplacements is for how many checks a file that is replaced all the time is left
// alone: a token that is revoked in it has to be gone within 5 seconds.
const maxReplacements = 2

// poll reads the file if it has changed, but not since the last check. A program that
// writes in place empties the file first, and that must not end sessions. And after a
// check without a change no later change can have the same time of modification. A file
// that is replaced all the time is whole each time, and so is read too. A wrong file is
// read at each check: it may be corrected without a visible change, as by a chown or a
// mount.
func (f *File) poll() {
	f.loadMu.Lock()
	defer f.loadMu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		f.loaded, f.seen = nil, nil
		f.logErrorLocked(err)
		return
	}
	settled := sameFile(info, f.seen)
	if f.seen != nil && !os.SameFile(info, f.seen) {
		f.replacements++
	} else {
		f.replacements = 0
	}
	f.seen = info
	switch {
	case settled && (f.lastError != "" || !sameFile(info, f.loaded)):
		_ = f.loadLocked() // it logs the error
	case f.replacements > maxReplacements:
		_ = f.loadLocked()
		f.loaded, f.replacements = nil, 0 // or another one that comes in the same moment would pass for it
	}
}

func (f *File) loadLocked() error {
	tokens, info, err := read(f.path)
	f.loaded = info
	if err != nil {
		f.logErrorLocked(err)
		return err
	}
	f.lastError = ""
	f.trouble.Store(nil)
	f.use(tokens)
	return nil
}

func (f *File) use(tokens *Tokens) {
	f.tokens.Store(tokens)
	f.log.Info("the tokens file was read", "path", f.path, "identities", len(tokens.all))
}

// logErrorLocked logs err, once for as long as it stays the same.
func (f *File) logErrorLocked(err error) {
	text := err.Error()
	f.trouble.Store(&text)
	if f.lastError == text {
		return
	}
	f.lastError = text
	f.log.Error("the tokens file cannot be used; the previous tokens stay in force", "path", f.path, "error", err)
}

// notify notifies the watches whose identity no longer holds. It checks all of them
// each time: a few hundred nanoseconds for each, of at most one for each port.
func (f *File) notify(now time.Time) {
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

// Read reads a tokens file as a relay does. It refuses a file that others may read or
// write, as [secretfile.Check] says.
func Read(path string) (*Tokens, error) {
	tokens, _, err := read(path)
	return tokens, err
}

// read also returns which file was good or wrong, if it could be opened.
func read(path string) (*Tokens, fs.FileInfo, error) {
	file, info, err := secretfile.Open(path)
	if err != nil {
		return nil, info, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	tokens, err := Parse(path, file)
	return tokens, info, err
}

// sameFile reports whether a file is unchanged, as far as its metadata shows.
func sameFile(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) &&
		a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}
