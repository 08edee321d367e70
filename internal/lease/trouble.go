package lease

import (
	"slices"
	"time"
)

// Trouble is what keeps owners from having their ports back.
type Trouble struct {
	// Err is why the store could not be written last, since when it cannot; nil is that it
	// can.
	Err   error
	Since time.Time
	// Closed are the ports that are leased and could not be opened when the relay was
	// started, sorted.
	Closed []int
}

// Trouble returns what is wrong with the leases.
func (r *Registry) Trouble() Trouble {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, now := Trouble{Err: r.failure, Since: r.failing}, time.Now()
	for _, l := range r.shelved {
		if now.Before(l.Until) {
			t.Closed = append(t.Closed, l.Port)
		}
	}
	slices.Sort(t.Closed)
	return t
}

// stored notes whether the store could be written, and logs if it could not. A disk that is
// full fails for all leases.
func (r *Registry) stored(failed string, port int, err error) {
	r.mu.Lock()
	if err != nil && r.failure == nil {
		r.failing = time.Now()
	}
	r.failure = err
	r.mu.Unlock()
	if err != nil {
		r.often.Do(func() { r.config.Log.Error(failed, "port", port, "error", err) })
	}
}
