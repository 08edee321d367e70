package lease_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed96252745/relay/internal/lease"
)

func open(t *testing.T, path string) *lease.File {
	t.Helper()
	f, err := lease.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// load returns all leases, by their keys.
func load(t *testing.T, f *lease.File) map[lease.Key]lease.Lease {
	t.Helper()
	all, err := f.Load()
	if err != nil {
		t.Error(err)
	}
	byKey := make(map[lease.Key]lease.Lease)
	for _, l := range all {
		byKey[l.Key] = l
	}
	return byKey
}

func some() []lease.Lease {
	return []lease.Lease{
		{Key: lease.KeyOf("", "one"), Port: 20001},
		{Key: lease.KeyOf("db1", "two"), Port: 20002, Name: "web", Identity: "db1"},
		{Key: lease.KeyOf("", "three"), Port: 20003, Until: time.Date(2026, 11, 23, 1, 2, 3, 4, time.UTC)},
		{Key: lease.GroupKeyOf("db1", "web"), Port: 20006, Name: "web", Identity: "db1", Group: "web"},
		{Key: lease.KeyOf("", "four"), Port: 20004, Before: [lease.MostBefore]lease.Place{{Port: 20005, Until: time.Date(2026, 11, 23, 1, 2, 3, 4, time.UTC)}}},
	}
}

// What was saved is there after the file was closed, and after a crash: a
// copy of the file, made while it is open, has it too.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "leases.db")
	f := open(t, path)
	want := make(map[lease.Key]lease.Lease)
	for _, l := range some() {
		if err := f.Save(l); err != nil {
			t.Fatal(err)
		}
		want[l.Key] = l
	}
	if got := load(t, f); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	crashed := filepath.Join(t.TempDir(), "leases.db")
	copied, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(crashed, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := load(t, open(t, crashed)); !reflect.DeepEqual(got, want) {
		t.Errorf("after a crash there is %v, want %v", got, want)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = open(t, path)
	if got := load(t, f); !reflect.DeepEqual(got, want) {
		t.Errorf("later there is %v, want %v", got, want)
	}
	moved := some()[0]
	moved.Port = 20009
	want[moved.Key] = moved
	delete(want, some()[1].Key)
	if err := errors.Join(f.Save(moved), f.Delete(some()[1].Key), f.Delete(lease.KeyOf("", "nobody's"))); err != nil {
		t.Fatal(err)
	}
	if got := load(t, f); !reflect.DeepEqual(got, want) {
		t.Errorf("after changes there is %v, want %v", got, want)
	}
}

// The same secret of another identity is another lease.
func TestKeyOf(t *testing.T) {
	seen := make(map[lease.Key]bool)
	for _, of := range [][2]string{{"", "s"}, {"a", "s"}, {"b", "s"}, {"a", "t"}, {"as", ""}} {
		seen[lease.KeyOf(of[0], of[1])] = true
	}
	if len(seen) != 5 || !seen[lease.KeyOf("a", "s")] {
		t.Errorf("5 leases have %d keys", len(seen))
	}
}

// All relay clients come at once after a restart.
func TestSaveConcurrently(t *testing.T) {
	const n = 100
	f := open(t, filepath.Join(t.TempDir(), "leases.db"))
	var saving sync.WaitGroup
	for i := range n {
		saving.Go(func() {
			l := lease.Lease{Key: lease.KeyOf("", fmt.Sprint(i)), Port: 20000 + i}
			if err := f.Save(l); err != nil {
				t.Error(err)
			}
		})
	}
	saving.Wait()
	if got := len(load(t, f)); got != n {
		t.Errorf("%d leases are there, want %d", got, n)
	}
}

// Of two relays with one file the later one is told, and the first one has it still.
func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.db")
	f := open(t, path)
	if second, err := lease.Open(path); !errors.Is(err, lease.ErrInUse) || !strings.Contains(err.Error(), path) {
		if second != nil {
			_ = second.Close()
		}
		t.Errorf("got %v, want that it is in use, and its name", err)
	}
	if err := f.Save(some()[0]); err != nil {
		t.Error(err)
	}
}

func TestOpenWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no leases ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{garbage, dir, filepath.Join(garbage, "leases.db")} {
		f, err := lease.Open(path)
		if err == nil {
			_ = f.Close()
			t.Errorf("%s can be opened", path)
		}
	}
}

// What is damaged is left out and told of, and what is not is there.
func TestDamagedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.db")
	f := open(t, path)
	good := some()[1]
	if err := errors.Join(f.Save(good), f.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("leases"))
		err := b.Put([]byte("short"), []byte(`{"port":1}`))
		for _, damaged := range []string{`{"port":`, `{}`, `{"port":-1}`, `{"port":65536}`, ``} {
			key := lease.KeyOf("", damaged)
			err = errors.Join(err, b.Put(key[:], []byte(damaged)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	all, err := open(t, path).Load()
	if err == nil || strings.Count(err.Error(), "lease ") != 6 {
		t.Errorf("got %v, want that six leases cannot be read", err)
	}
	if len(all) != 1 || all[0] != good {
		t.Errorf("got %v, want %v", all, good)
	}
}

// A file of before leases had kinds is read, and so is the kind that is written now. A
// lease of an unknown kind is left out, and told of.
func TestKinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.db")
	before, now, unknown := lease.KeyOf("", "before"), lease.KeyOf("", "now"), lease.KeyOf("", "unknown")
	f := open(t, path)
	if err := errors.Join(f.Save(lease.Lease{Key: now, Kind: lease.KindPort, Port: 2}), f.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("leases"))
		if got := string(b.Get(now[:])); got != `{"kind":"port","port":2}` {
			t.Errorf("the file has %s", got)
		}
		return errors.Join(b.Put(before[:], []byte(`{"port":1}`)), b.Put(unknown[:], []byte(`{"kind":"ship","port":3}`)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	all, err := open(t, path).Load()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%x", unknown)) || len(all) != 2 {
		t.Errorf("got %v, %v; want 2 leases, and that one cannot be read", all, err)
	}
	for _, l := range all {
		if want := map[lease.Key]int{before: 1, now: 2}[l.Key]; l.Port != want || l.Kind != lease.KindPort {
			t.Errorf("got %v, want port %d", l, want)
		}
	}
}

// Nothing of a key can be read out of the file, and nobody else may read it.
func TestFileHoldsNoSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.db")
	f := open(t, path)
	if err := errors.Join(f.Save(lease.Lease{Key: lease.KeyOf("", "supersecretsupersecret"), Port: 20001}), f.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(content), "supersecret") {
		t.Errorf("the secret is in the file, %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has %v, %v; want 0600", info.Mode(), err)
	}
}

// A file of which something is missing, or that was overwritten, is an error, and
// nothing worse.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	f := open(t, path)
	for i := range 100 {
		if err := f.Save(lease.Lease{Key: lease.KeyOf("", fmt.Sprint(i)), Port: 20000 + i}); err != nil {
			t.Fatal(err)
		}
	}
	_ = f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	try := func(content []byte) {
		path := filepath.Join(t.TempDir(), "leases")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := lease.Open(path)
		switch {
		case err == nil:
			_, _ = f.Load()
			_ = f.Close()
		case errors.Is(err, lease.ErrDamaged):
			damaged++
		default:
			t.Errorf("of %d bytes: %v", len(content), err)
		}
	}
	for size := 1000; size < len(whole); size += 1000 {
		try(whole[:size])
	}
	for at := 0; at+100 < len(whole); at += 700 {
		content := slices.Clone(whole)
		for i := range 100 {
			content[at+i] ^= 0xff
		}
		try(content)
	}
	if damaged < 10 {
		t.Errorf("only %d were seen to be damaged", damaged)
	}
}
