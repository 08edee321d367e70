package page_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

type action = chromedp.Action[chromedp.Void]

// size is the size of the window.
func size(width, height int64) action { return chromedp.EmulateViewport(width, height) }

// scheme is what the system prefers: light or dark.
func scheme(name string) action {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	})
}

// before runs a script before those of the page.
func before(source string) action {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: source})
		return err
	})
}

func TestThemes(t *testing.T) {
	f := newFixture(t)
	f.one()
	ground := "getComputedStyle(document.body).backgroundColor"
	const light, dark = "rgb(244, 245, 247)", "rgb(13, 16, 20)"
	for preferred, want := range map[string]string{"light": light, "dark": dark} {
		p := openTab(t, f.URL, scheme(preferred))
		p.waitText("20001")
		if got := eval[string](p, ground); got != want {
			t.Errorf("with the system %s the ground is %s, want %s", preferred, got, want)
		}
		p.visit("#/tunnel/t1")
		p.wait("document.querySelectorAll('.plot canvas').length === 2")
		for _, theme := range []struct{ name, ground string }{{"light", light}, {"dark", dark}, {"auto", want}} {
			p.click("#theme")
			p.wait(fmt.Sprintf("document.querySelector('#theme').textContent === 'Theme: %s' && %s === %s", theme.name, ground, quote(theme.ground)))
		}
		p.click("#theme")
		p.run(chromedp.Reload())
		p.wait("document.querySelector('#theme').textContent === 'Theme: light' && " + ground + " === " + quote(light))
		p.clean()
	}
}

// axe returns the source of axe-core, which npm has fetched.
func axe(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed: apt-get install nodejs npm")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "axe"))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	source, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// TestAccessible has axe-core look at every view, light and dark, wide and narrow.
func TestAccessible(t *testing.T) {
	source := axe(t)
	f := newFixture(t)
	f.many(60, 200)
	f.merge()
	for _, look := range []struct {
		scheme string
		width  int64
	}{{"light", 1440}, {"dark", 1440}, {"light", 360}, {"dark", 360}} {
		p := openTab(t, f.URL, scheme(look.scheme), size(look.width, 800))
		p.waitText("service-7")
		eval[chromedp.Void](p, source)
		for hash, text := range views {
			p.visit(hash)
			p.waitText(text)
			p.accessible(fmt.Sprintf("%s, %s, %d wide", hash, look.scheme, look.width))
		}
		p.visit("#/ends")
		p.button("main", "Ban a source")
		p.wait(dialog + " !== null")
		p.accessible("the dialog, " + look.scheme)
		p.clean()
	}
}

// accessible fails if axe-core finds anything serious.
func (p *tab) accessible(where string) {
	p.Helper()
	result := ask(p, chromedp.Evaluate[struct {
		Passed []string
		Found  []string
	}](`axe.run(document, {resultTypes: ['violations']}).then(r => ({
		passed: r.passes.map(v => v.id),
		found: r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical')
			.map(v => v.id + ': ' + v.help + '\n  ' + v.nodes.slice(0, 5).map(n => n.target + ' ' + n.failureSummary).join('\n  ')),
	}))`, chromedp.EvalAwaitPromise))
	if len(result.Found) > 0 {
		p.Errorf("%s:\n%s", where, strings.Join(result.Found, "\n"))
	}
	for _, rule := range []string{"color-contrast", "button-name"} {
		if !slices.Contains(result.Passed, rule) {
			p.Errorf("%s: axe-core has not looked at %s, but at %v", where, rule, result.Passed)
		}
	}
}
