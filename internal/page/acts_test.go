package page_test

import (
	"slices"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seed96252745/relay/internal/api"
)

const dialog = "document.querySelector('dialog[open]')"

// acted returns when the fixture was asked for an act.
func (f *fixture) acted(p *tab, act string) {
	p.Helper()
	// The page says what it has done, and then closes the dialog.
	p.wait("!" + dialog)
	f.Lock()
	defer f.Unlock()
	if !slices.Contains(f.acts, act) {
		p.Errorf("%q was not asked for; there were %q", act, f.acts)
	}
	f.acts = nil
}

// confirm confirms the dialog that is open, which has to name what it is about.
func (p *tab) confirm(about, verb string) {
	p.Helper()
	p.wait(dialog + "?.innerText.includes(" + quote(about) + ")")
	p.button("dialog[open]", verb)
}

func TestActs(t *testing.T) {
	f := newFixture(t)
	f.one()
	p := openTab(t, f.URL)
	p.visit("#/tunnel/t1")

	p.button("td", "End")
	p.confirm("198.51.100.7:51000", "Cancel")
	p.wait("!" + dialog)
	p.button("td", "End")
	p.confirm("198.51.100.7:51000", "End user")
	p.waitText("198.51.100.7:51000 was ended.")
	f.acted(p, "DELETE /api/v1/users/u1")

	p.button("td", "Ban")
	p.confirm("neither as a user", "Ban")
	f.acted(p, "POST /api/v1/bans map[seconds:600 source:198.51.100.7]")

	p.button(".acts", "Pause")
	p.confirm("20001 web", "Pause")
	f.acted(p, "POST /api/v1/tunnels/t1/pause")
	f.change(func() { f.tunnels[0].State = api.Paused })
	p.button(".acts", "Resume")
	p.confirm("20001 web", "Resume")
	f.acted(p, "POST /api/v1/tunnels/t1/resume")
	p.button(".acts", "Close")
	p.confirm("1 now", "Close")
	f.acted(p, "POST /api/v1/tunnels/t1/close")

	p.visit("#/ends")
	p.button("main", "Lift")
	p.confirm("203.0.113.0/24", "Lift the ban")
	f.acted(p, "DELETE /api/v1/bans/203.0.113.0%2F24")
	p.button("main", "Ban a source")
	p.fill("dialog input", "192.0.2.0/24")
	p.confirm("Ban a source", "Ban")
	f.acted(p, "POST /api/v1/bans map[seconds:600 source:192.0.2.0/24]")

	p.click("#operate")
	p.button("#menu", "Reload files")
	p.confirm("SIGHUP", "Reload")
	f.acted(p, "POST /api/v1/reload")
	p.click("#operate")
	p.button("#menu", "Drain and end")
	p.confirm("End this relay?", "Drain and end")
	f.acted(p, "POST /api/v1/drain")
	p.clean()
}

// TestActRefused sees that a dialog stays, and says why nothing was done.
func TestActRefused(t *testing.T) {
	f := newFixture(t)
	f.one()
	f.refuse = "there is no user with this id"
	p := openTab(t, f.URL)
	p.visit("#/users")
	p.button("td", "End")
	p.confirm("198.51.100.7:51000", "End user")
	p.wait(dialog + "?.innerText.includes('there is no user with this id')")
	p.button("dialog[open]", "Cancel")
	p.wait("!" + dialog)
}

func TestFreshToken(t *testing.T) {
	f := newFixture(t)
	f.one()
	p := openTab(t, f.URL)
	p.visit("#/connect")
	p.waitText("relay --localForwardPort=<its port>")
	p.fill("main form input", "office")
	p.button("main", "Make a token")
	p.waitText("echo relay_S3CRET > relay.token")
	p.waitText("relay --tokenFile=relay.token --localForwardPort=<its port> relay.example.com 8080")
	f.acted(p, "POST /api/v1/tokens map[name:office]")

	// The secret is gone when the view is left.
	p.visit("#/")
	p.waitText("20001")
	p.visit("#/connect")
	p.waitText("With a fresh token")
	if eval[bool](p, "document.documentElement.innerHTML.includes('S3CRET')") {
		t.Error("the secret is still in the document")
	}

	f.change(func() { f.status.Open = true })
	p.waitText("lets in everybody")
	p.wait("!document.body.innerText.includes('With a fresh token')")
	p.clean()
}

// TestSearchAndSort finds and orders tunnels.
func TestSearchAndSort(t *testing.T) {
	f := newFixture(t)
	f.many(60, 300)
	p := openTab(t, f.URL)
	ports := "[...document.querySelectorAll('.rowlink .port')].map(e => e.textContent).join(' ')"
	p.wait(ports + ".startsWith('20000 20001 20002')")
	p.button("th", "To users")
	p.wait("document.querySelector('th.c-rate[aria-sort=descending]') !== null")
	p.button("th", "Port and name")
	p.button("th", "Port and name")
	p.wait(ports + ".startsWith('20059 20058')")
	p.fill("input[type=search]", "SERVICE-5 customer-5")
	p.wait(ports + " === '20055 20005'")
	p.fill("input[type=search]", "192.0.2.17:")
	p.wait(ports + " === '20017'")
	p.fill("input[type=search]", "server down")
	p.wait("[...document.querySelectorAll('td.c-state')].every(td => td.textContent.includes('Local server down')) && " + ports + " !== ''")
	p.fill("input[type=search]", "no such thing")
	p.waitText("No tunnel matches.")
	p.fill("input[type=search]", "")
	p.click(".filter")
	p.wait("document.querySelectorAll('.rowlink').length === 1")
	p.click(".filter")
	p.wait("document.querySelectorAll('.rowlink').length > 1")

	p.visit("#/users")
	p.fill("main input[type=search]", "service-14")
	p.wait("document.querySelectorAll('td.c-address').length === 5")
	p.clean()
}

// keys presses keys, as a person does who has no mouse.
func (p *tab) keys(keys ...string) {
	p.Helper()
	for _, key := range keys {
		p.run(chromedp.KeyEvent(key))
	}
}

// slash presses the key with the slash. What chromedp does for a key types its character,
// although the page has prevented that.
func (p *tab) slash() {
	p.Helper()
	call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Code: "Slash", Text: "/"})
	call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: "/", Code: "Slash"})
}

// TestKeyboardOnly finds a tunnel, and pauses it, without a mouse.
func TestKeyboardOnly(t *testing.T) {
	f := newFixture(t)
	f.many(60, 300)
	p := openTab(t, f.URL)
	p.wait("document.querySelectorAll('.rowlink').length > 5")
	focus := "document.activeElement"
	p.keys(kb.Tab)
	p.wait(focus + ".id === 'skip'")
	p.keys(kb.Enter)
	p.wait(focus + ".id === 'main'")
	p.slash()
	p.wait(focus + ".type === 'search'")
	p.keys("s", "e", "r", "v", "i", "c", "e", "-", "1")
	p.wait("document.querySelectorAll('.rowlink').length === 11")
	for range 30 {
		if eval[bool](p, focus+".matches('.rowlink')") {
			break
		}
		p.keys(kb.Tab)
	}
	p.wait(focus + ".matches('.rowlink') && " + focus + ".textContent.includes('20001')")
	p.keys(kb.ArrowDown)
	p.wait(focus + ".textContent.includes('20010')")
	// An update does not take the focus away.
	n := f.asked()
	f.waitAsked(p, n+2)
	p.wait(focus + ".textContent.includes('20010')")
	p.keys(kb.End)
	p.wait(focus + ".textContent.includes('20019')")
	p.keys(kb.Enter)
	p.wait("location.hash === '#/tunnel/t19' && document.querySelector('h1').textContent === '20019 service-19'")
	for range 30 {
		if eval[bool](p, focus+".textContent === 'Pause'") {
			break
		}
		p.keys(kb.Tab)
	}
	p.keys(kb.Enter)
	p.wait(dialog + "?.contains(" + focus + ") && " + focus + ".textContent === 'Cancel'")
	p.keys(kb.Escape)
	p.wait("!" + dialog + " && " + focus + ".textContent === 'Pause'")
	p.keys(kb.Enter)
	p.wait(focus + ".textContent === 'Cancel'")
	p.keys(kb.Tab)
	p.wait(focus + ".textContent === 'Pause' && " + dialog + ".contains(" + focus + ")")
	p.keys(kb.Enter)
	f.acted(p, "POST /api/v1/tunnels/t19/pause")
	p.clean()
}
