//go:build lab && linux

package lab_test

import (
	"fmt"
	"testing"
	"time"
)

const (
	blackHole = "DROP both ways"
	// lingers is how long a pool, which has no control connection, keeps its port
	// after its last connection.
	lingers = 60 * time.Second
)

// freed is the promise of when the port of a client that vanished is free.
func freed(protocol string) time.Duration {
	if protocol == "pool" {
		return noticed + lingers
	}
	return noticed
}

// A client that vanishes while nobody uses its tunnel is noticed; its port is kept.
func TestRow18ClientVanishesIdle(t *testing.T) {
	t.Parallel()
	long(t)
	eachProtocol(t, "row18_client-vanishes-idle", func(t *testing.T, protocol string) {
		r, _ := newProbeRig(t, protocol, setup{})
		r.inject(r.ClientGone())
		begin := time.Now()
		r.line(r.relay, 0, 4*noticed, "tunnel closed")
		took := time.Since(begin)
		if took > freed(protocol) {
			t.Errorf("noticed after %v, want at most %v", took, freed(protocol))
		}
		record(t, "18", "client vanishes, no users", blackHole, fmt.Sprintf("tunnel closed after %.1f s", seconds(took)))
	})
}

// Users of a client that vanished are reset, whatever they do.
func TestRow18ClientVanishes(t *testing.T) {
	t.Parallel()
	eachProtocol(t, "row18_client-vanishes", func(t *testing.T, protocol string) {
		r, s := newProbeRig(t, protocol, setup{})
		users, _ := s.users(idle, download, upload)
		gone := r.ClientGone()
		r.inject(gone) // it takes a while itself
		took := allReset(t, time.Now(), noticed, users)
		record(t, "18", "client vanishes, users idle and with bytes in flight", blackHole,
			fmt.Sprintf("users reset after %.1f s", seconds(took)))

		since := r.forwarder.Lines()
		r.heal(gone)
		r.recover(since, s.works)
	})
}

// To the forwarder a relay that vanished is the same, seen from the other side.
func TestRow18RelayVanishes(t *testing.T) {
	t.Parallel()
	eachProtocol(t, "row18_relay-vanishes", func(t *testing.T, protocol string) {
		r, s := newProbeRig(t, protocol, setup{})
		_, locals := s.users(idle, download, upload)
		r.inject(r.ClientGone())
		begin := time.Now()
		took := allReset(t, begin, noticed, locals)
		// Pool has no control connection; it has dialled anew in vain by then.
		const dialling = 15 * time.Second
		line := r.line(r.forwarder, 0, time.Until(begin.Add(noticed+dialling)), "not registered at the relay")
		lost := loggedAt(t, line).Sub(begin)
		if lost > noticed && protocol != "pool" {
			t.Errorf("the forwarder noticed after %v, want at most %v", lost, noticed)
		}
		record(t, "18", "relay vanishes, seen by the forwarder", blackHole,
			fmt.Sprintf("local server reset after %.1f s, registers again after %.1f s", seconds(took), seconds(lost)))
	})
}

// A user who vanished with bytes in flight is noticed as soon; one who is idle
// may be asleep, and is looked for after a minute.
func TestRow18UserVanishes(t *testing.T) {
	t.Parallel()
	const idleNoticed = 60*time.Second + 4*15*time.Second + 5*time.Second
	eachProtocol(t, "row18_user-vanishes", func(t *testing.T, protocol string) {
		r, s := newProbeRig(t, protocol, setup{})
		_, moving := s.users(download)
		var resting []*probe
		if !testing.Short() {
			_, resting = s.users(idle, upload)
		}
		r.inject(r.UserGone())
		begin := time.Now()
		took := allReset(t, begin, noticed, moving)
		record(t, "18", "user vanishes, bytes in flight to it", blackHole,
			fmt.Sprintf("local server reset after %.1f s", seconds(took)))
		if len(resting) > 0 {
			took = allReset(t, begin, idleNoticed, resting)
			record(t, "18", "user vanishes, idle or sending", blackHole,
				fmt.Sprintf("local server reset after %.1f s", seconds(took)))
		}
		r.stable()
	})
}

// The local server's host can vanish too; the tunnel does not.
func TestRow18LocalVanishes(t *testing.T) {
	t.Parallel()
	const idleNoticed = 15*time.Second + 9*15*time.Second + 5*time.Second
	eachProtocol(t, "row18_local-vanishes", func(t *testing.T, protocol string) {
		r, s := newProbeRig(t, protocol, setup{})
		moving, _ := s.users(upload)
		var resting []*probe
		if !testing.Short() {
			resting, _ = s.users(idle, download)
		}
		r.inject(r.LocalGone())
		begin := time.Now()
		took := allReset(t, begin, noticed, moving)
		record(t, "18", "local server's host vanishes, bytes in flight to it", blackHole,
			fmt.Sprintf("users reset after %.1f s", seconds(took)))
		if len(resting) > 0 {
			took = allReset(t, begin, idleNoticed, resting)
			record(t, "18", "local server's host vanishes, idle or sending", blackHole,
				fmt.Sprintf("users reset after %.1f s", seconds(took)))
		}
		r.stable()
	})
}
