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
)

// watch loads the file when it changes, until stop is called. Its folder is watched, as editors
// put another file in its place, and so do those who change what a symbolic link leads to.
func (r *reloader) watch() (stop func()) {
	w, err := fsnotify.NewWatcher()
	if err == nil {
		if err = w.Add(filepath.Dir(r.path)); err != nil {
			_ = w.Close()
		}
	}
	if err != nil {
		r.process.log.Warn("changes of the file are not noticed: after one send SIGHUP, or run relay reload", "file", r.path, "error", err)
		return func() {}
	}
	f := &watchedFile{reloader: r, watcher: w, log: r.process.log, stopping: make(chan struct{}), stopped: make(chan struct{})}
	f.follow()
	go f.run()
	return func() {
		close(f.stopping)
		<-f.stopped
	}
}

// watchedFile is the file of a reloader whose changes are noticed.
type watchedFile struct {
	reloader *reloader
	watcher  *fsnotify.Watcher
	log      *slog.Logger
	target   string // folder of what a symbolic link leads to, if that is another one

	stopping, stopped chan struct{}
}

func (f *watchedFile) run() {
	defer close(f.stopped)
	defer func() { _ = f.watcher.Close() }()
	var first time.Time // when something happened since the file was read
	quiet := time.NewTimer(settledAfter)
	quiet.Stop()
	for {
		select {
		case <-f.stopping:
			return
		case _, ok := <-f.watcher.Events:
			if !ok {
				return
			}
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			quiet.Reset(max(min(settledAfter, first.Add(latest).Sub(now)), 0))
		case err := <-f.watcher.Errors: // events are missing, perhaps
			f.log.Warn("changes of the file may have been missed: it is looked at now", "file", f.reloader.path, "error", err)
			quiet.Reset(settledAfter)
		case <-quiet.C:
			first = time.Time{}
			f.follow()
			f.reloader.reloadIfChanged()
		}
	}
}

// follow watches the folder, too, that a symbolic link leads to.
func (f *watchedFile) follow() {
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

// reloadIfChanged reloads a file whose content is another one than when it was read last, in
// whatever way that ended. One that is gone stays in force: a program that replaces it puts the new one
// in its place a moment later.
func (r *reloader) reloadIfChanged() {
	sum := sumOf(r.path)
	r.mu.Lock()
	same := r.seen == sum
	r.mu.Unlock()
	if !same && sum != ([sha256.Size]byte{}) {
		_ = r.reload("it has changed") // it logs its errors
	}
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
