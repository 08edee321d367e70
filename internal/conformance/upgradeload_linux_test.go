package conformance_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
)

// load is how much goes on during upgrades.
type load struct {
	upgrades, joined, idle int
	every                  time.Duration // between new users
	between                int           // new users after each upgrade
}

// upgradeLoad is small unless the environment asks for all.
func upgradeLoad() load {
	if os.Getenv("UPGRADE_LOAD") == "full" {
		return load{upgrades: 10, joined: 500, idle: 50, every: 10 * time.Millisecond, between: 100}
	}
	return load{upgrades: 3, joined: 20, idle: 5, every: 20 * time.Millisecond, between: 20}
}

// A relay is upgraded again and again while users come, while others' data flows, and while
// others are silent. Nobody is refused, nobody is reset, and every byte is right. With
// UPGRADE_LOAD=full there are as many as in a busy hour.
func TestUpgradeUnderLoad(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Run("plain", func(t *testing.T) { upgradeUnderLoad(t, protocol, func(*dynasty) *tls.Config { return nil }) })
		t.Run("tls", func(t *testing.T) { upgradeUnderLoad(t, protocol, (*dynasty).pinned) })
	})
}

func upgradeUnderLoad(t *testing.T, protocol relay.Protocol, encrypt func(*dynasty) *tls.Config) {
	size := upgradeLoad()
	d := newDynasty(t, "--maxUsersPerSource=0")
	tun := forward(t, d.addr, serveLocal(t, greetAndEcho(1)), protocol, encrypt(d))
	u := &upgradeUsers{public: tun.public, size: size, stop: make(chan struct{})}
	u.join(size.joined)
	u.rest(size.idle)
	u.running.Go(u.come)
	u.awaitNewcomers(t, size.between)
	usual := u.resetLongest()
	for range size.upgrades {
		d.upgrade()
		if again := within(t, tun.registered, "the forwarder to register again"); again != tun.public {
			t.Errorf("the port is %s, and was %s", again, tun.public)
		}
		u.join(size.joined / 10) // who stay with this process
		u.awaitNewcomers(t, size.between)
	}
	close(u.stop)
	u.running.Wait()
	t.Logf("%d upgrades: %d new users, the longest wait %v, and %v before the first; %d joined, %d bytes each way; %d idle", size.upgrades, u.served, u.longest, usual, u.joined, u.bytes, size.idle)
	for _, err := range u.failed {
		t.Error(err)
	}
	must(t, syscall.Kill(d.pid(), syscall.SIGTERM))
	for _, pid := range append(d.heirs, d.first.Process.Pid) { // the others have no users any more
		if status := d.wait(pid); status != 0 {
			t.Errorf("process %d has ended with %v", pid, status)
		}
	}
}

// pinned trusts the certificate that the relay has made, by what its log says.
func (d *dynasty) pinned() *tls.Config {
	d.Helper()
	pin := regexp.MustCompile(`sha256//[A-Za-z0-9+/=]+`).FindString(d.log.String())
	config, err := relay.PinnedTLS(pin)
	must(d.T, err)
	return config
}

// upgradeUsers are the users of a relay that is upgraded.
type upgradeUsers struct {
	public  string
	size    load
	stop    chan struct{} // closed when all may end
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	failed  []error
	served  int
	longest time.Duration
	joined  int
	bytes   int64
}

func (u *upgradeUsers) note(what string, err error) bool {
	if err == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.failed) < 10 {
		u.failed = append(u.failed, fmt.Errorf("%s: %w", what, err))
	}
	return false
}

// come has users come until the end.
func (u *upgradeUsers) come() {
	every := time.NewTicker(u.size.every)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			u.running.Go(u.visit)
		case <-u.stop:
			return
		}
	}
}

// visit is a user who comes for an exchange.
func (u *upgradeUsers) visit() {
	since := time.Now()
	conn, err := u.greeted()
	waited := time.Since(since)
	if !u.note("a new user", err) {
		return
	}
	defer conn.Close()
	if !u.note("a new user", echoed(conn, 5000)) || !u.note("a new user's end", ending(conn)) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.served++
	u.longest = max(u.longest, waited)
}

// awaitNewcomers waits for so many more users.
func (u *upgradeUsers) awaitNewcomers(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.served
	}
	before := count()
	for since := time.Now(); count() < before+n; <-time.After(5 * time.Millisecond) {
		if time.Since(since) > patience {
			t.Fatalf("%d users have come, want %d", count()-before, n)
		}
	}
}

// resetLongest returns the longest wait, and forgets it.
func (u *upgradeUsers) resetLongest() (longest time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	longest, u.longest = u.longest, 0
	return longest
}

// greeted connects a user, and waits for the first byte.
func (u *upgradeUsers) greeted() (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", u.public)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// echoed sends bytes that have to come back.
func echoed(conn *net.TCPConn, n int64) error {
	_ = conn.SetDeadline(time.Now().Add(patience))
	sent := make(chan error, 1)
	about := []byte(conn.LocalAddr().String())
	go func() { sent <- send(conn, newStream(7, about...), n) }()
	err := expect(conn, newStream(7, about...), n)
	if sending := <-sent; sending != nil {
		return sending
	}
	return err
}

// ending ends a connection, and expects that the other end does so, too.
func ending(conn *net.TCPConn) error {
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("behind the end: %d bytes and %w", n, err)
	}
	return nil
}

// exchangePause is between two exchanges of a user who is joined.
const exchangePause = 200 * time.Millisecond

// join joins users whose data flows until the end, and waits until each has sent some.
func (u *upgradeUsers) join(n int) {
	var begun sync.WaitGroup
	begun.Add(n)
	for range n {
		u.running.Go(func() {
			conn, err := u.greeted()
			if err == nil {
				err = echoed(conn, 4000)
			}
			begun.Done()
			if !u.note("a user who joins", err) {
				return
			}
			defer conn.Close()
			u.talk(conn)
		})
	}
	begun.Wait()
}

// talk has data flow until the end.
func (u *upgradeUsers) talk(conn *net.TCPConn) {
	const portion = 4000
	every := time.NewTicker(exchangePause)
	defer every.Stop()
	total := int64(portion)
	for going := true; going; {
		select {
		case <-every.C:
		case <-u.stop:
			going = false
		}
		if !u.note("a user who is joined", echoed(conn, portion)) {
			return
		}
		total += portion
	}
	u.note("the end of a user who is joined", ending(conn))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.joined++
	u.bytes += total
}

// rest joins users who are silent until the end.
func (u *upgradeUsers) rest(n int) {
	var begun sync.WaitGroup
	begun.Add(n)
	for range n {
		u.running.Go(func() {
			conn, err := u.greeted()
			begun.Done()
			if !u.note("a silent user", err) {
				return
			}
			defer conn.Close()
			<-u.stop
			_ = u.note("a user who was silent", echoed(conn, 4000)) && u.note("the end of a user who was silent", ending(conn))
		})
	}
	begun.Wait()
}
