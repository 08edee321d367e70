package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a browser on a machine with much else to do may take for anything.
const patience = 2 * time.Minute

// reportViolations has the console show what the policy of the page has forbidden.
const reportViolations = `addEventListener('securitypolicyviolation', e => console.error('violates the policy: ' + e.violatedDirective + ' ' + e.blockedURI))`

// browser is the one that all tests share: it takes a second to start.
var browser struct {
	sync.Once
	ctx context.Context
	err error
}

// atEnd is what ends after all tests.
var atEnd []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for _, stop := range atEnd {
		stop()
	}
	os.Exit(code)
}

func startBrowser(path string) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("lang", "en-US"),
		// Ports of other protocols, to which browsers do not connect, and which are free here.
		chromedp.Flag("explicitly-allowed-ports", "3659,4045,4190,5060,5061,6000,6566,6665,6666,6667,6668,6669,6679,6697"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // root cannot have one
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stopBrowser := chromedp.NewContext(allocator)
	browser.ctx, browser.err = ctx, chromedp.Do(ctx)
	atEnd = append(atEnd, stopBrowser, stopAllocator)
}

// tab is a page in a real browser, and what went wrong in it.
type tab struct {
	*testing.T
	ctx    context.Context
	origin string

	mu       sync.Mutex
	problems []string // that no page may have: errors in the console, requests elsewhere
}

// openTab opens the page that is served at origin, in a window of its own.
func openTab(t *testing.T, origin string, options ...action) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: apt-get install chromium")
	}
	browser.Do(func() { startBrowser(path) })
	if browser.err != nil {
		t.Fatal("the browser does not start: ", browser.err)
	}
	ctx, closeTab := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	p := &tab{T: t, ctx: ctx, origin: origin}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	call(p, network.Enable, network.EnableParams{})
	call(p, cdplog.Enable, cdp.Empty{})
	p.run(append([]action{size(1280, 800), before(reportViolations)}, options...)...)
	p.run(chromedp.Navigate(origin + "/"))
	return p
}

func (p *tab) listen(event any) {
	problem := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = "exception: " + e.ExceptionDetails.Text + " " + exceptionText(e.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			problem = "console:"
			for _, arg := range e.Args {
				problem += " " + string(arg.Value)
			}
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			problem = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, p.origin+"/") && !strings.HasPrefix(e.Request.URL, "chrome") {
			problem = "asks another origin: " + e.Request.URL
		}
	}
	if problem == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, problem)
}

// forgive forgets the problems that a test has caused by intention.
func (p *tab) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = nil
}

// clean fails the test if the page did what none may do.
func (p *tab) clean() {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.Errorf("the page: %s", problem)
	}
}

func (p *tab) run(actions ...action) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// eval returns the value of an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.Helper()
	return ask(p, chromedp.Evaluate[T](expression))
}

// ask returns what an action returns.
func ask[T any](p *tab, action chromedp.Action[T]) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.Fatal(err)
	}
	return value
}

// call has the browser do a command of its protocol.
func call[P, R any](p *tab, command cdp.Command[P, R], params P) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, command, params); err != nil {
		p.Fatal(err)
	}
}

// wait returns when a condition holds in the page, which looks again each 50 ms. Poll of
// chromedp makes code of strings, which the policy of the page forbids.
func (p *tab) wait(condition string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	loop := fmt.Sprintf(`(async () => { while (!(%s)) await new Promise(r => setTimeout(r, 50)) })()`, condition)
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](loop, chromedp.EvalAwaitPromise)); err != nil {
		p.Fatalf("%s does not come to hold: %v; the page shows:\n%s", condition, err, eval[string](p, "document.body.innerText"))
	}
}

// waitReloaded returns when a condition holds in the document that comes after this one: a
// wait in this one ends with it.
func (p *tab) waitReloaded(condition string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	for {
		done, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
		if done {
			return
		}
		if ctx.Err() != nil {
			p.Fatalf("%s does not come to hold: %v", condition, err)
		}
	}
}

// waitText returns when the page shows a text.
func (p *tab) waitText(text string) {
	p.Helper()
	p.wait("document.body.innerText.includes(" + quote(text) + ")")
}

// click clicks on what a selector finds, as soon as it is there.
func (p *tab) click(selector string) {
	p.Helper()
	p.wait("document.querySelector(" + quote(selector) + ")?.checkVisibility()")
	eval[chromedp.Void](p, "document.querySelector("+quote(selector)+").click()")
}

// button clicks on the button, or link, with that text.
func (p *tab) button(within, text string) {
	p.Helper()
	find := fmt.Sprintf("[...document.querySelectorAll(%s)].find(b => b.textContent.trim() === %s && b.checkVisibility())",
		quote(within+" button, "+within+" a"), quote(text))
	p.wait(find)
	eval[chromedp.Void](p, find+".click()")
}

// fill types into the field that a selector finds.
func (p *tab) fill(selector, text string) {
	p.Helper()
	p.wait("document.querySelector(" + quote(selector) + ")?.checkVisibility()")
	eval[chromedp.Void](p, fmt.Sprintf(`{ const e = document.querySelector(%s); e.value = %s; e.dispatchEvent(new Event('input', {bubbles: true})) }`, quote(selector), quote(text)))
}

// visit goes to a view.
func (p *tab) visit(hash string) {
	p.Helper()
	eval[chromedp.Void](p, "location.hash = "+quote(hash))
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string can be written
	}
	return string(b)
}

// TestProblemsAreSeen does what no page may do, and sees that the tests would notice.
func TestProblemsAreSeen(t *testing.T) {
	f := newFixture(t)
	for what, script := range map[string]string{
		"console: an error":                              `console.error('an error')`,
		"exception: ":                                    `setTimeout(() => { throw new Error('thrown') }, 0)`,
		"violates the policy: img-src":                   `document.body.append(Object.assign(new Image(), {src: 'https://example.com/x.png'}))`,
		"violates the policy: require-trusted-types-for": `try { document.body.innerHTML = '<b>' } catch {}`,
	} {
		p := openTab(t, f.URL)
		p.waitText("Nothing is online yet")
		p.clean()
		eval[chromedp.Void](p, script)
		p.seen(what)
	}
}

// seen returns when a problem has come.
func (p *tab) seen(problem string) {
	p.Helper()
	for deadline := time.Now().Add(patience); ; {
		p.mu.Lock()
		all := strings.ReplaceAll(strings.Join(p.problems, "\n"), `"`, "")
		p.mu.Unlock()
		if strings.Contains(all, problem) {
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("%q is not seen, but %s", problem, all)
		}
		eval[int](p, "1") // the browser reports in the order in which things happen
	}
}

func exceptionText(d *runtime.ExceptionDetails) string {
	if d.Exception == nil {
		return ""
	}
	return d.Exception.Description
}
