package page_test

import (
	"testing"
)

// TestManyTunnelsAndUsers looks at 1,000 tunnels and 10,000 users. What the page does is
// counted: what it takes depends on the machine.
func TestManyTunnelsAndUsers(t *testing.T) {
	f := newFixture(t)
	f.many(1000, 10_000)
	f.flowing = true
	p := openTab(t, f.URL)
	for _, view := range []struct{ hash, first, last string }{
		{"#/", "service-0", "service-999"},
		{"#/users", "198.51.0.0:10000", "198.51.39.249:19999"},
	} {
		p.visit(view.hash)
		p.waitText(view.first)
		p.bounded(view.hash)
		p.changes(f, view.hash)
		eval[bool](p, "scrollTo(0, document.documentElement.scrollHeight), true")
		p.waitText(view.last)
		p.bounded(view.hash)
		// A screen reader is told how many rows there are, and which these are.
		rows := eval[int](p, "Number(document.querySelector('table').getAttribute('aria-rowcount'))")
		last := eval[int](p, "Math.max(...[...document.querySelectorAll('tr[aria-rowindex]')].map(r => Number(r.getAttribute('aria-rowindex'))))")
		if rows < 1001 || last != rows {
			t.Errorf("%s: the last row is %d of %d", view.hash, last, rows)
		}
		eval[bool](p, "scrollTo(0, 0), true")
		p.waitText(view.first)
	}
	p.clean()
}

// bounded fails unless the document has only what can be seen. A window of 800 pixels has
// 22 rows, and each has at most 40 elements.
func (p *tab) bounded(view string) {
	p.Helper()
	if n := eval[int](p, "document.querySelectorAll('*').length"); n > 2000 {
		p.Errorf("%s: the document has %d elements", view, n)
	}
	if n := eval[int](p, "document.querySelectorAll('tr').length"); n > 60 {
		p.Errorf("%s: the document has %d rows", view, n)
	}
}

// changes fails unless an update changes what can be seen and is another, and nothing
// else.
func (p *tab) changes(f *fixture, view string) {
	p.Helper()
	eval[bool](p, `(window.changed = [], window.watch = new MutationObserver(records => changed.push(records.length)),
		watch.observe(document, {subtree: true, childList: true, attributes: true, characterData: true}), true)`)
	f.waitAsked(p, f.asked()+3)
	updates, most := eval[int](p, "(watch.disconnect(), changed.length)"), eval[int](p, "Math.max(...changed)")
	// Of each of 40 rows: two rates, two sparklines of two paths, two sums, a time.
	if updates == 0 || most > 40*16 {
		p.Errorf("%s: %d updates, with up to %d changes", view, updates, most)
	}
	// Rows stay, and are not made again.
	eval[bool](p, "(window.rows = [...document.querySelectorAll('tr[aria-rowindex]')], true)")
	f.waitAsked(p, f.asked()+2)
	if !eval[bool](p, "rows.every(row => row.isConnected)") {
		p.Errorf("%s: an update makes rows anew", view)
	}
}

// TestUpdatesAreBounded asks for more updates than there may be, and sees that the page
// asks the relay four times a second at most.
func TestUpdatesAreBounded(t *testing.T) {
	f := newFixture(t)
	f.many(20, 100)
	p := openTab(t, f.URL)
	p.waitText("service-7")
	for f.asked() < 20 {
		for hash := range views {
			p.visit(hash)
		}
	}
	times := eval[[]float64](p, "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/status')).map(e => e.startTime)")
	took := times[len(times)-1] - times[0]
	// A request may leave later than the page has meant it to, but that does not add up.
	if least := 250 * float64(len(times)-1-4); took < least {
		t.Errorf("%d updates took %.0f ms, want %.0f at least", len(times), took, least)
	}
	p.clean()
}

// TestHiddenPageRests hides the page, and sees that it has nothing to do any more, until
// it is seen.
func TestHiddenPageRests(t *testing.T) {
	f := newFixture(t)
	f.one()
	p := openTab(t, f.URL, before(`
		window.timers = new Set();
		const set = setTimeout, clear = clearTimeout;
		window.setTimeout = (f, ...more) => { const id = set(() => { timers.delete(id); f() }, ...more); timers.add(id); return id };
		window.clearTimeout = id => { timers.delete(id); clear(id) };
		window.pretend = false;
		Object.defineProperty(document, 'hidden', {get: () => pretend});
		window.asking = 0;
		const get = fetch;
		window.fetch = async (...a) => { asking++; try { return await get(...a) } finally { asking-- } };
	`))
	p.waitText("20001")
	p.wait("timers.size === 1 && asking === 0") // the next update
	eval[bool](p, "(pretend = true, document.dispatchEvent(new Event('visibilitychange')), true)")
	p.wait("timers.size === 0 && asking === 0")
	f.change(func() { f.tunnels[0].Name = "while hidden" })
	eval[bool](p, "(pretend = false, document.dispatchEvent(new Event('visibilitychange')), true)")
	p.waitText("while hidden")
	p.clean()
}
