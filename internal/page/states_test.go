package page_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// mark and sameDocument show that the page was not loaded again in between.
const (
	mark         = "window.sameDocument = true"
	sameDocument = "window.sameDocument === true"
)

func TestNothingYet(t *testing.T) {
	f := newFixture(t)
	p := openTab(t, f.URL)
	p.waitText("Nothing is online yet")
	p.waitText("relay --tlsPin=sha256//key --localForwardPort=<its port> relay.example.com 8080")
	p.fill(".portfield", "6379")
	p.waitText("relay --localForwardPort=6379 relay.example.com 8080")
	eval[bool](p, mark)
	f.one()
	p.wait("document.querySelector('a.rowlink')?.checkVisibility()")
	p.wait("!document.body.innerText.includes('Nothing is online yet') && " + sameDocument)
	p.clean()
}

func TestOneTunnel(t *testing.T) {
	f := newFixture(t)
	f.one()
	p := openTab(t, f.URL)
	for _, text := range []string{"20001", "web", "office", "Up", "multiplex", "12.3 ms", "1 user", "v1.0.0", "up 2 d 2 h"} {
		p.waitText(text)
	}
	p.click("a.rowlink")
	for _, text := range []string{
		"relay.example.com:20001", "192.0.2.10:40112", "4.20 MB", "93.0 MB", "198.51.100.7:51000", "450 kB",
		"Answered in 13.1 ms, of it 400 µs at the local server",
	} {
		p.waitText(text)
	}
	// The curves are there, and have what was seen in them.
	p.wait("[...document.querySelectorAll('.plot canvas')].filter(c => c.width > 100 && c.height > 100).length === 2")
	p.button(".parts", "Last ends")
	p.waitText("Reset by the local server")
	p.waitText("Not joined: waited too long for the relay client")
	p.wait("[...document.querySelectorAll('td')].some(td => td.title.includes('connection reset by peer'))")
	p.wait("document.title === '20001 web · Relay'")

	f.change(func() { f.tunnels, f.status.Tunnels = nil, 0 })
	p.waitText("There is no tunnel of this id any more.")
	p.clean()
}

// TestGroup shows the members of a group, and finds the group by them.
func TestGroup(t *testing.T) {
	f := newFixture(t)
	f.one()
	now := time.Now().UTC()
	f.change(func() {
		f.tunnels[0].Group, f.tunnels[0].RelayClient, f.tunnels[0].Protocol = "web", "", "mixed"
		f.tunnels[0].Members = []api.Member{
			{Name: "one", RelayClient: "192.0.2.10:40112", Protocol: "event", State: api.Up, Since: now.Add(-time.Hour), RoundTripSeconds: 0.0123, Users: 1},
			{RelayClient: "192.0.2.11:40113", Protocol: "pool", State: api.Silent, Since: now.Add(-time.Minute)},
		}
	})
	p := openTab(t, f.URL)
	p.waitText("mixed")
	p.click("a.rowlink")
	for _, text := range []string{"2 members", "Member 192.0.2.10:40112", "one: up since", "1 user, event, round trip 12.3 ms", "Member 192.0.2.11:40113", "0 users, pool"} {
		p.waitText(text)
	}
	p.clean()
}

// TestRatesAndSparklines has bytes go through, and sees them without a reload.
func TestRatesAndSparklines(t *testing.T) {
	f := newFixture(t)
	f.one()
	p := openTab(t, f.URL)
	p.wait("document.querySelector('.c-rate:not(th)')?.textContent === '0 B/s'")
	f.change(func() { f.flowing = true })
	p.wait("document.querySelector('td.c-rate')?.textContent !== '0 B/s'")
	p.wait("document.querySelector('.spark.bytes .line')?.getAttribute('d').split('L').length > 3")
	p.clean()
}

// TestEveryState sees that each state is told by its word and its shape, and not by color
// alone.
func TestEveryState(t *testing.T) {
	f := newFixture(t)
	since := time.Now().Add(-time.Minute).UTC()
	n := 0
	for state := range states {
		n++
		f.tunnels = append(f.tunnels, api.Tunnel{ID: string(state), Port: 20000 + n, State: state, Since: since})
	}
	for i := range f.tunnels {
		if f.tunnels[i].State == api.LocalServerDown {
			f.tunnels[i].Error = "connection refused"
		}
	}
	f.status.Tunnels = n
	f.status.Problems = []api.Problem{{Code: "local_server_down", Tunnel: string(api.LocalServerDown), Text: "start it", Since: &since}}
	p := openTab(t, f.URL)
	for state, word := range states {
		p.wait(fmt.Sprintf("document.querySelector('a.rowlink[href=\"#/tunnel/%s\"]')?.closest('tr').querySelector('.c-state').textContent.startsWith(%s)", state, quote(word)))
	}
	p.wait("/Local server down since [\\d:]+ \\(connection refused\\)/.test(document.body.textContent)")
	shapes := "new Set([...document.querySelectorAll('td.c-state path')].map(p => p.getAttribute('d')))"
	if got := eval[int](p, shapes+".size"); got < len(states)-1 {
		t.Errorf("%d states have %d shapes", len(states), got)
	}
	p.wait("document.querySelector('.problems').innerText.includes('Local server down: start it')")
	p.wait("document.title.startsWith('(!)')")
	p.clean()
}

func TestRelayGoneAndBack(t *testing.T) {
	f := newFixture(t)
	f.one()
	p := openTab(t, f.URL)
	p.waitText("20001")
	eval[bool](p, mark)
	gone := "document.querySelector('#gone').checkVisibility()"
	if eval[bool](p, gone) {
		t.Error("the relay is gone from the start")
	}
	f.change(func() { f.gone = true })
	p.wait(gone)
	p.wait("/The relay cannot be reached since [\\d:]+/.test(document.querySelector('#gone').innerText)")
	p.waitText("20001") // what was known is still there
	p.wait("document.querySelector('#live').textContent === 'Not reached'")

	// Another process is there, with fewer bytes than the one before.
	f.change(func() {
		f.gone = false
		f.status.Started = time.Now()
		f.tunnels[0].Received, f.tunnels[0].Sent, f.tunnels[0].Name = 10, 20, "back"
	})
	p.wait("!" + gone)
	p.waitText("back")
	p.wait("document.querySelector('#live').textContent === 'Live' && " + sameDocument)
	p.forgive() // the browser reports each request that has failed
	n := f.asked()
	p.wait("document.querySelector('#live').textContent === 'Live'")
	f.waitAsked(p, n+2)
	p.clean()
}

// TestAnotherVersion has the relay come back as another version, which has a page of its
// own.
func TestAnotherVersion(t *testing.T) {
	f := newFixture(t)
	f.one()
	p := openTab(t, f.URL)
	p.waitText("v1.0.0")
	eval[bool](p, mark)
	f.change(func() { f.status.Version = "v1.1.0" })
	p.waitReloaded("document.body?.innerText.includes('v1.1.0') && !(" + sameDocument + ")")
	p.clean()
}

// TestRefused has the relay refuse the page, which says why.
func TestRefused(t *testing.T) {
	f := newFixture(t)
	f.one()
	p := openTab(t, f.URL)
	p.waitText("20001")
	f.change(func() { f.misdirected = "it is not served under this name" })
	p.wait("/The relay refuses this page since [\\d:]+: it is not served under this name\\./.test(document.querySelector('#gone').innerText)")
	f.change(func() { f.misdirected = "" })
	p.wait("!document.querySelector('#gone').checkVisibility()")
}

func TestLogin(t *testing.T) {
	f := newFixture(t)
	f.one()
	f.token = "right"
	p := openTab(t, f.URL)
	p.fill("input[type=password]", "wrong")
	p.click(".login button")
	p.waitText("That is not the token.")
	p.fill("input[type=password]", "right")
	p.click(".login button")
	p.waitText("20001")
	p.forgive() // the browser reports each 401

	p.click("#operate")
	p.button("#menu", "Log out")
	p.fill("input[type=password]", "right")
	p.click(".login button")
	p.waitText("20001")

	// The session ends while the page is open.
	f.change(func() { f.token = "another" })
	p.wait("document.querySelector('input[type=password]')?.checkVisibility()")
	if eval[bool](p, "document.body.innerText.includes('20001')") {
		t.Error("without a session the page shows what it knows")
	}
}

func TestDraining(t *testing.T) {
	f := newFixture(t)
	f.one()
	f.status.Draining = true
	p := openTab(t, f.URL)
	p.wait("document.querySelector('#live').textContent === 'Draining'")
	p.clean()
}

func TestForwarder(t *testing.T) {
	f := newFixture(t)
	f.one()
	f.status.Kind, f.status.Ports, f.status.Connect = api.Forwarder, "", nil
	f.tunnels[0].Local, f.tunnels[0].RelayClient = "localhost:80", ""
	p := openTab(t, f.URL)
	p.waitText("localhost:80")
	p.waitText("Services")
	if text := eval[string](p, "document.querySelector('.bar').innerText"); text == "" || eval[bool](p, "document.querySelector('.bar').innerText.includes('Put online')") {
		t.Errorf("a forwarder puts nothing else online: %s", text)
	}
	p.visit("#/ends")
	p.waitText("Reset by the local server")
	if eval[bool](p, "document.body.innerText.includes('Ban a source')") {
		t.Error("a forwarder has no bans")
	}
	p.clean()
}

// TestEveryView sees what each has, and that a narrow window scrolls down only.
func TestEveryView(t *testing.T) {
	f := newFixture(t)
	f.many(60, 200)
	f.merge()
	p := openTab(t, f.URL, size(360, 740))
	for hash, text := range views {
		p.visit(hash)
		p.waitText(text)
		if wide := eval[int](p, "document.documentElement.scrollWidth"); wide > 360 {
			t.Errorf("%s is %d wide in a window of 360", hash, wide)
		}
	}
	p.clean()
}

// views are all views, with a text that each has.
var views = map[string]string{
	"#/":               "service-7",
	"#/users":          "198.51.0.3:10003",
	"#/ends":           "Closed by the user",
	"#/limits":         "--maxUsersPerSource",
	"#/connect":        "With a fresh token",
	"#/tunnel/t1":      "relay.example.com:20001",
	"#/tunnel/t1/ends": "Reset by the local server",
}

// TestHostileText has strangers send markup as names, addresses and errors.
func TestHostileText(t *testing.T) {
	f := newFixture(t)
	f.one()
	hostile := `<img src=x onerror="document.title='owned'"><b>bold</b>`
	f.tunnels[0].Name, f.tunnels[0].Identity, f.tunnels[0].Error, f.tunnels[0].State = hostile, hostile, hostile, api.LocalServerDown
	f.tunnels[0].ID = "../" + hostile
	f.users[0].Tunnel, f.users[0].Address = f.tunnels[0].ID, hostile
	f.ended[0].Error, f.ended[0].EndedBy, f.ended[0].Address, f.refusals[0].Source, f.refusals[0].Error = hostile, hostile, hostile, hostile, hostile
	f.limits[0].Name, f.bans[0].Source, f.status.Version, f.status.Connect[0] = hostile, hostile, hostile, hostile
	f.status.Problems = []api.Problem{{Code: hostile, Text: hostile}}
	p := openTab(t, f.URL)
	for _, hash := range []string{"#/", "#/users", "#/ends", "#/limits", "#/connect"} {
		p.visit(hash)
		p.wait("document.querySelector('main').innerText.includes('<img src=x')")
		if n := eval[int](p, "document.querySelectorAll('main img, main b b, [onerror]').length"); n > 0 {
			t.Errorf("%s has made elements of a stranger's text", hash)
		}
	}
	p.visit("#/")
	p.click("a.rowlink")
	p.wait("document.querySelector('h1').innerText.includes('<img src=x')")
	p.clean()
}
