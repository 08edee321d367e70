package lease

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// File is a Store in a file. A thief of the file finds only hashes of keys in it.
type File struct{ db *bbolt.DB }

var _ Store = (*File)(nil)

// ErrInUse is returned by Open if another relay has the file.
var ErrInUse = errors.New("another relay uses it")

// ErrDamaged is returned by Open if the file is none of ours, or not any more.
var ErrDamaged = errors.New("it is damaged")

const (
	bucket = "leases"
	// lockWait is how long a relay that is about to end may take to let go.
	lockWait = 2 * time.Second
	// batchWait is how long a write waits for others: after a restart all clients
	// come at once, and each write by itself takes the disk some milliseconds.
	batchWait = 2 * time.Millisecond
)

// Open opens the file, and makes it and its folder if they are not there. It reads
// all that there is, as a file that is damaged would show it later and otherwise.
func Open(path string) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("leases: %w", err)
	}
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("leases: %s: %w", path, err)
	}
	return f, nil
}

func open(path string) (f *File, err error) {
	var db *bbolt.DB
	defer func() {
		if err != nil && db != nil {
			_ = db.Close()
		}
	}()
	defer damage(&err)()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrInUse
	case errors.As(err, new(syscall.Errno)): // of the system
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	db.MaxBatchDelay = batchWait
	err = db.Update(func(tx *bbolt.Tx) error {
		all, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		return all.ForEach(look)
	})
	if err != nil && !errors.As(err, new(syscall.Errno)) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &File{db}, err
}

// look touches every byte, of which some may not be there.
func look(k, v []byte) error {
	_, _ = sha256.Sum256(k), sha256.Sum256(v)
	return nil
}

// damage is deferred, called, around code that reads a file. The library reports damaged
// pages by panics, and by faults where the file is shorter than it says.
func damage(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if e := recover(); e != nil {
			*err = fmt.Errorf("%w: %v", ErrDamaged, e)
		}
	}
}

// record is what is in the file. Fields may be added.
type record struct {
	Kind     Kind      `json:"kind"`
	Port     int       `json:"port"`
	Name     string    `json:"name,omitempty"`
	Identity string    `json:"identity,omitempty"`
	Group    string    `json:"group,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	Before   []Place   `json:"before,omitempty"`
}

// isLease reports whether what was read can be a lease.
func (r record) isLease() bool {
	isPort := func(n int) bool { return n >= 1 && n <= math.MaxUint16 }
	return isPort(r.Port) && !slices.ContainsFunc(r.Before, func(p Place) bool { return !isPort(p.Port) })
}

// Load returns all leases. A lease that cannot be read is left out, and named by the
// error beside the others.
func (f *File) Load() (leases []Lease, err error) {
	defer damage(&err)()
	var wrong error
	err = f.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error {
			var r record
			if err := json.Unmarshal(v, &r); err != nil || len(k) != len(Key{}) || !r.isLease() {
				wrong = errors.Join(wrong, fmt.Errorf("lease %x: %q", k, v))
				return nil
			}
			l := Lease{Key: Key(k), Kind: r.Kind, Name: r.Name, Identity: r.Identity, Group: r.Group}
			leases = append(leases, l.At(Place{r.Port, r.Until}, r.Before))
			return nil
		})
	})
	return leases, errors.Join(err, wrong)
}

// Save keeps l.
func (f *File) Save(l Lease) error {
	value, err := json.Marshal(record{l.Kind, l.Port, l.Name, l.Identity, l.Group, l.Until, l.Places()[1:]})
	if err != nil {
		return err
	}
	return f.db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put(l.Key[:], value) })
}

// Delete forgets a lease.
func (f *File) Delete(k Key) error {
	return f.db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Delete(k[:]) })
}

// Close waits for writes that are under way.
func (f *File) Close() error { return f.db.Close() }
