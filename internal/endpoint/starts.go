package endpoint

import (
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// startLimit is how long a user waits for a connection of the relay client without a
// goroutine, a deadline and a watch. Most connections come within milliseconds, and for
// those none of the three is needed.
const startLimit = 50 * time.Millisecond

// starts are users whose connections to the relay client have been asked for, and who wait
// without a goroutine. The zero value is ready. Its methods may be called concurrently.
type starts struct {
	mu    sync.Mutex // guards what follows
	users map[*user]started
	timer *time.Timer // runs while there are users, or nil
}

// started is what a user waits for, and since when.
type started struct {
	opening protocol.Opening // or nil, until Start has returned
	at      time.Time
}

// start asks the session of a user for a connection, and has the user joined when it comes.
// It reports false if that takes another way. Otherwise the user is not the caller's any
// more. The group waits for the user.
func (s *starts) start(u *user) bool {
	if u.tunnel == nil || u.reached != nil {
		return false
	}
	session, ok := u.tunnel.Session.(protocol.Starter)
	if !ok {
		return false
	}
	if _, err := u.admitUnder(0); err != nil {
		return false // connect finds out why, or waits
	}
	running := &u.endpoint.group.running
	running.Add(1)
	s.add(u)
	returned := false
	defer func() {
		if !returned { // there is a panic on the way
			s.drop(u)
			<-u.endpoint.waiting
		}
	}()
	o, err := session.Start(u.opened)
	returned = true
	if err != nil {
		s.drop(u)
		return false
	}
	s.set(u, o)
	return true
}

func (s *starts) add(u *user) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == nil {
		s.users = make(map[*user]started)
	}
	s.users[u] = started{at: time.Now()}
	if s.timer == nil {
		s.timer = time.AfterFunc(startLimit, s.parkLate)
	}
}

// set notes what a user waits for, unless that has come.
func (s *starts) set(u *user, o protocol.Opening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.users[u]
	if !ok {
		return
	}
	w.opening = o
	s.users[u] = w
	if u.tunnel.parks {
		s.parkLocked(u)
	}
}

func (s *starts) remove(u *user) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, u)
}

// drop undoes add for a user whose session has not been asked after all.
func (s *starts) drop(u *user) {
	s.remove(u)
	u.endpoint.group.running.Done()
}

// stop stops the timer. There are no users any more.
func (s *starts) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}

// parkLate parks the users who have waited for startLimit.
func (s *starts) parkLate() {
	s.park(time.Now().Add(-startLimit))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer = nil; len(s.users) > 0 {
		s.timer = time.AfterFunc(startLimit, s.parkLate)
	}
}

// park parks the users who have waited since then, or for longer.
func (s *starts) park(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for u, w := range s.users {
		if !w.at.After(since) {
			s.parkLocked(u)
		}
	}
}

// end parks the users of a tunnel that ends, also those who are about to wait: it is known
// that they have to wait for another one, or to be reset.
func (s *starts) end(t *Tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.parks = true
	for u := range s.users {
		if u.tunnel == t {
			s.parkLocked(u)
		}
	}
}

// parkLocked gives a user a goroutine, unless Start has not returned yet or the connection
// has come.
func (s *starts) parkLocked(u *user) {
	opening := s.users[u].opening
	if opening == nil || !opening.Hold() {
		return
	}
	delete(s.users, u)
	u.opening = opening
	go func() {
		defer u.endpoint.group.running.Done()
		u.park()
	}()
}

// opened goes on with a user whose connection to the relay client has come, on the
// goroutine of that connection.
func (u *user) opened(c conn.Conn) {
	g := u.endpoint.group
	defer g.running.Done()
	g.starts.remove(u)
	defer u.failOnPanic()
	parked := false
	defer func() {
		if !parked {
			<-u.endpoint.waiting
		}
	}()
	if u.reached = c; u.introduceNow() {
		u.join()
		return
	}
	parked = true
	g.running.Go(u.park)
}
