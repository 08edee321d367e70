package main

import (
	"crypto/sha256"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settledAfter is how long nothing must have happened in the folder of the file before it
	// is read: a program that writes in place empties the file first, and half a file may be
	// a good one, with half of the services.
	settledAfter = 500 * time.Millisecond
	// latest is when the file is read though its folder is never at rest.
	latest = 5 * time.Second
	// lookEvery is how often the file is looked at though nothing was heard of its folder: the
	// folder itself may be another one, or on another machine, which reports no changes.
	lookEvery = 5 * time.Second
)

// watch loads the file when it changes, until stop is called. Its folder is watched, as editors
// put another file in its place, and so do those who change what a symbolic link leads to.
func (r *reloader) watch() (stop func()) {
	f := &watchedFile{reloader: r, log: r.process.log, stopping: make(chan struct{}), stopped: make(chan struct{})}
	w, err := fsnotify.NewWatcher()
	if err == nil {
		if err = w.Add(filepath.Dir(r.path)); err != nil {
			_ = w.Close()
		}
	}
	if err == nil {
		f.watcher = w
		f.follow()
	} else {
		f.log.Warn("the system reports no changes of the file: it is looked at now and then", "every", lookEvery.String(), "file", r.path, "error", err)
	}
	go f.run()
	return func() {
		close(f.stopping)
		<-f.stopped
	}
}

// watchedFile is the file of a reloader whose changes are noticed.
type watchedFile struct {
	reloader *reloader
	watcher  *fsnotify.Watcher // nil if the system reports no changes
	log      *slog.Logger
	target   string    // folder of what a symbolic link leads to, if that is another one
	first    time.Time // when something happened since the file was read; zero is that nothing has

	stopping, stopped chan struct{}
}

func (f *watchedFile) run() {
	defer close(f.stopped)
	var events <-chan fsnotify.Event
	var failures <-chan error
	if f.watcher != nil {
		events, failures = f.watcher.Events, f.watcher.Errors
		defer func() { _ = f.watcher.Close() }()
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	quiet := time.NewTimer(settledAfter)
	quiet.Stop()
	for {
		select {
		case <-f.stopping:
			return
		case _, ok := <-events:
			if !ok {
				events = nil // the system has stopped
			}
			f.happened(quiet)
		case err := <-failures: // events are missing, perhaps
			f.log.Warn("changes of the file may have been missed: it is looked at now", "file", f.reloader.path, "error", err)
			f.happened(quiet)
		case <-look.C:
			if f.first.IsZero() && f.reloader.whyReload() != "" {
				f.happened(quiet)
			}
		case <-quiet.C:
			f.first = time.Time{}
			f.follow()
			if why := f.reloader.whyReload(); why != "" {
				_ = f.reloader.reload(why) // it logs its errors
			}
		}
	}
}

// happened has the file be read when its folder has been quiet for a while.
func (f *watchedFile) happened(quiet *time.Timer) {
	now := time.Now()
	if f.first.IsZero() {
		f.first = now
	}
	quiet.Reset(max(min(settledAfter, f.first.Add(latest).Sub(now)), 0))
}

// follow watches the folder, too, that a symbolic link leads to.
func (f *watchedFile) follow() {
	if f.watcher == nil {
		return
	}
	path, err := filepath.EvalSymlinks(f.reloader.path)
	if err != nil {
		return // the file is gone for now
	}
	target := filepath.Dir(path)
	if target == f.target {
		return
	}
	if f.target != "" && f.target != filepath.Dir(f.reloader.path) {
		_ = f.watcher.Remove(f.target) // fails if that is gone
	}
	if f.target = target; f.watcher.Add(target) != nil {
		f.target = "" // it is tried again at the next change
	}
}

// whyReload returns why the file is to be loaded, or "" if it is not: its content is another
// one than when it was read last, in whatever way that ended, or what it names was mended. A file
// that is gone stays in force: a program that replaces it puts the new one in its place a moment
// later.
func (r *reloader) whyReload() string {
	sum := sumOf(r.path)
	r.mu.Lock()
	same := r.seen == sum
	r.mu.Unlock()
	switch {
	case sum == ([sha256.Size]byte{}):
		return ""
	case !same:
		return "it has changed"
	case r.isMended():
		return "a file that it names has changed"
	}
	return ""
}

// maxSummed is more than a configuration may have.
const maxSummed = 2 << 20

// sumOf returns what tells the content of a file from another one, or zero if it cannot be
// read. A pipe is not read: it gives its content only once.
func sumOf(path string) (sum [sha256.Size]byte) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return sum
	}
	file, err := os.Open(path)
	if err != nil {
		return sum
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(file, maxSummed)); err != nil {
		return sum
	}
	return [sha256.Size]byte(hash.Sum(nil))
}
