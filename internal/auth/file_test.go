package auth_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
)

func TestFileChanges(t *testing.T) {
	for name, change := range map[string]func(*rig, string){"in place": (*rig).overwrite, "by rename": (*rig).replace} {
		t.Run(name, func(t *testing.T) {
			with(t, lineA, func(r *rig) {
				change(r, lineB)
				r.pass(settle)
				r.identify("b")
				if _, err := r.Identify("a"); !errors.Is(err, auth.ErrUnknownToken) {
					r.Errorf("who is gone from the file: %v", err)
				}
				r.pass(time.Minute)
				if n := r.log.count("was read"); n != 2 {
					r.Errorf("the file was read %d times, for one change", n)
				}
			})
		})
	}
}

func TestWatch(t *testing.T) {
	const both = lineA + lineB
	for _, tt := range []struct {
		name, then string
		want       error
	}{
		{"the same", lineB + "# comment\n" + lineA, nil},
		{"another expiry", strings.TrimSpace(lineA) + " expires=2001-01-01\n" + lineB, nil},
		{"gone", lineB, auth.ErrRevoked},
		{"all gone", "", auth.ErrRevoked},
		{"another secret", "db1 " + auth.Hash("c") + "\n" + lineB, auth.ErrReplaced},
		{"another name", "db3 " + hash + "\n" + lineB, auth.ErrRevoked},
		{"other limits", strings.TrimSpace(lineA) + " users=1\n" + lineB, auth.ErrChanged},
		{"expired", strings.TrimSpace(lineA) + " expires=1999-01-01\n" + lineB, auth.ErrExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			with(t, both, func(r *rig) {
				w := r.watch("a")
				r.replace(tt.then)
				r.pass(settle)
				if tt.want == nil && len(w.reasons()) > 0 || tt.want != nil && !w.told(tt.want) {
					r.Errorf("the watch got %v, want %v", w.reasons(), tt.want)
				}
				r.replace("")
				r.pass(settle)
				if len(w.reasons()) != 1 {
					r.Errorf("in the end the watch got %v", w.reasons())
				}
			})
		})
	}
}

// WatchName watches only what its caller asks for, through any number of changes.
func TestWatchName(t *testing.T) {
	const both = lineA + lineB
	other := errors.New("it may do something else")
	for _, tt := range []struct {
		name, then string
		want       error
	}{
		{"the same", lineB + "# comment\n" + lineA, nil},
		{"another secret", "db1 " + auth.Hash("c") + "\n" + lineB, nil},
		{"other limits", strings.TrimSpace(lineA) + " tunnels=7\n" + lineB, nil},
		{"what is asked for", strings.TrimSpace(lineA) + " users=1\n" + lineB, other},
		{"gone", lineB, auth.ErrRevoked},
		{"expired", strings.TrimSpace(lineA) + " expires=1999-01-01\n" + lineB, auth.ErrExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			with(t, both, func(r *rig) {
				var told []error
				still := func(id auth.Identity) error {
					if id.Policy.Users != 0 {
						return other
					}
					return nil
				}
				stop, err := r.WatchName("db1", still, func(reason error) { told = append(told, reason) })
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
				r.replace(tt.then)
				r.pass(settle)
				if tt.want == nil && len(told) > 0 || tt.want != nil && (len(told) != 1 || !errors.Is(told[0], tt.want)) {
					t.Errorf("the watch got %v, want %v", told, tt.want)
				}
				if _, err := r.WatchName("db1", still, func(error) {}); !errors.Is(err, tt.want) {
					t.Errorf("who asks now gets %v, want %v", err, tt.want)
				}
				r.replace("")
				r.pass(settle)
				if len(told) != 1 {
					t.Errorf("in the end the watch got %v", told)
				}
			})
		})
	}
}

// A watch of an identity that has ended before, because it was identified just before a
// change, is notified too.
func TestWatchTooLate(t *testing.T) {
	with(t, lineA, func(r *rig) {
		id := r.identify("a")
		r.overwrite(lineB)
		if err := r.Reload(); err != nil {
			r.Fatal(err)
		}
		told := make(chan error, 1)
		defer r.Watch(id, func(reason error) { told <- reason })()
		r.pass(time.Second)
		if len(told) != 1 {
			r.Error("no watch was notified")
		}
	})
}

func TestWatchStop(t *testing.T) {
	with(t, lineA, func(r *rig) {
		w := r.watch("a")
		w.stop()
		w.stop()
		r.replace("")
		r.pass(settle)
		if len(w.reasons()) > 0 {
			r.Errorf("the watch got %v", w.reasons())
		}
	})
}

func TestFileExpires(t *testing.T) {
	with(t, strings.TrimSpace(lineA)+" expires=2000-01-01T00:05:00.3Z\n", func(r *rig) {
		end := time.Date(2000, 1, 1, 0, 5, 0, 3e8, time.UTC)
		w := r.watch("a")
		r.pass(time.Until(end) - time.Nanosecond)
		r.identify("a")
		if len(w.reasons()) > 0 {
			r.Errorf("the watch got %v too soon", w.reasons())
		}
		r.pass(time.Nanosecond)
		if _, err := r.Identify("a"); !errors.Is(err, auth.ErrExpired) {
			r.Errorf("got %v", err)
		}
		r.pass(time.Second)
		if late := w.at().Sub(end); !w.told(auth.ErrExpired) || late < 0 || late > time.Second {
			r.Errorf("the watch got %v, %v late", w.reasons(), late)
		}
	})
}

// A file that becomes wrong leaves everything as it was. It is logged once, with its
// line, until it is wrong in another way.
func TestFileBecomesWrong(t *testing.T) {
	with(t, lineA, func(r *rig) {
		w := r.watch("a")
		r.overwrite(lineB + "nonsense\n")
		r.pass(time.Minute)
		r.identify("a")
		if n := r.log.count("stay in force"); n != 1 || r.log.count(r.path+":2: there is only a name") != 1 {
			r.Errorf("it was logged %d times: %s", n, r.log)
		}
		if got := r.Trouble(); !strings.HasPrefix(got, r.path+":2: ") {
			r.Errorf("its trouble is %q", got)
		}
		if err := r.Reload(); err == nil || !strings.HasPrefix(err.Error(), r.path+":2: ") {
			r.Errorf("reading it again: %v", err)
		}
		if n := r.log.count("stay in force"); n != 2 {
			r.Errorf("a second Reload logs it %d times", n)
		}
		r.overwrite(lineB + "\nnonsense\n")
		r.pass(time.Minute)
		if r.log.count(r.path+":3: there is only a name") != 1 || len(w.reasons()) > 0 {
			r.Errorf("the watch got %v, and logged: %s", w.reasons(), r.log)
		}
		r.overwrite(lineB)
		r.pass(settle)
		r.identify("b")
		if got := r.Trouble(); got != "" {
			r.Errorf("its trouble is still %q", got)
		}
		if !w.told(auth.ErrRevoked) {
			r.Errorf("the watch got %v", w.reasons())
		}
	})
}

// A file may be corrected without a visible change: its owner, or how it is mounted,
// may be what was wrong.
func TestFileIsCorrectedUnseen(t *testing.T) {
	with(t, lineA, func(r *rig) {
		began := time.Now()
		r.overwrite("#" + strings.Repeat("x", len(lineB)-4) + "\nx\n")
		r.pass(time.Minute)
		if n := r.log.count("stay in force"); n != 1 {
			r.Errorf("it was logged %d times: %s", n, r.log)
		}
		r.overwrite(lineB)
		if err := os.Chtimes(r.path, time.Time{}, began); err != nil {
			r.Fatal(err)
		}
		r.pass(settle)
		r.identify("b")
		r.pass(time.Minute)
		if n := r.log.count("was read"); n != 2 {
			r.Errorf("the file was read %d times, want once more than at the start", n)
		}
	})
}

func TestFileDisappears(t *testing.T) {
	with(t, lineA, func(r *rig) {
		w := r.watch("a")
		if err := os.Rename(r.path, r.path+".away"); err != nil {
			r.Fatal(err)
		}
		r.pass(time.Minute)
		r.identify("a")
		if n := r.log.count("level=ERROR"); n != 1 || len(w.reasons()) > 0 {
			r.Errorf("it was logged %d times, and a watch got %v", n, w.reasons())
		}
		if _, err := r.Identify("c"); !errors.Is(err, auth.ErrUnknownToken) {
			r.Errorf("a stranger gets %v", err)
		}
		if err := os.Rename(r.path+".away", r.path); err != nil {
			r.Fatal(err)
		}
		r.pass(time.Minute)
		if n := r.log.count("was read"); n != 2 || len(w.reasons()) > 0 {
			r.Errorf("it was read %d times, and a watch got %v", n, w.reasons())
		}
	})
}

// A program that writes a file empties it first. That ends nothing, as long as it goes
// on within a second.
func TestFileIsWrittenSlowly(t *testing.T) {
	with(t, lineA+lineB, func(r *rig) {
		w := r.watch("b")
		r.pass(500 * time.Millisecond)
		r.overwrite("")
		r.pass(time.Second)
		r.overwrite(lineA)
		r.pass(time.Second)
		r.overwrite(lineA + lineB)
		r.pass(time.Minute)
		if len(w.reasons()) > 0 || r.log.count("was read") != 2 {
			r.Errorf("the watch got %v; log: %s", w.reasons(), r.log)
		}
	})
}

// A file that is replaced all the time is in force all the same. One that is written in
// place all the time is not, as it may be incomplete.
func TestFileChangesAllTheTime(t *testing.T) {
	with(t, lineA+lineB, func(r *rig) {
		began, w, other := time.Now(), r.watch("a"), r.watch("b")
		for i := range 20 { // 6 seconds
			r.replace(lineB + strings.Repeat("# more\n", i))
			r.pass(300 * time.Millisecond)
		}
		if !w.told(auth.ErrRevoked) || w.at().Sub(began) > 5*time.Second {
			t.Errorf("the watch got %v at %v", w.reasons(), w.at())
		}
		for i := range 20 {
			r.overwrite(strings.Repeat("# lines come and come\n", 1+i)) // the relevant ones come last
			r.pass(900 * time.Millisecond)
		}
		r.overwrite(lineB)
		r.pass(settle)
		if reasons := other.reasons(); len(reasons) > 0 {
			t.Errorf("a watch that is there all the time got %v", reasons)
		}
	})
}

func TestFileClose(t *testing.T) {
	with(t, lineA, func(r *rig) {
		w := r.watch("a")
		r.Close()
		r.Close()
		r.replace("")
		r.pass(time.Minute)
		r.identify("a")
		if len(w.reasons()) > 0 {
			r.Errorf("the watch got %v", w.reasons())
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	for _, path := range []string{"", t.TempDir(), write(t, "nonsense"), write(t, lineA) + "/x"} {
		f, err := auth.Open(path, slog.New(slog.DiscardHandler))
		if err == nil {
			f.Close()
			t.Errorf("%q was opened", path)
		}
	}
}

// All methods may be called at once.
func TestFileConcurrently(t *testing.T) {
	path := write(t, lineA)
	f, err := auth.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				id, err := f.Identify("a")
				if err != nil {
					t.Error(err)
				}
				stop := f.Watch(id, func(error) {})
				if err := f.Reload(); err != nil {
					t.Error(err)
				}
				stop()
			}
		})
	}
	all.Wait()
}
