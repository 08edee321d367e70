package page_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/page"
)

func request(t *testing.T, method, target string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	page.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryAnswerIsLockedDown(t *testing.T) {
	for target, status := range map[string]int{
		"/": 200, "/style.css": 200, "/app/main.js": 200, "/vendor/uPlot.esm.js": 200, "/favicon.svg": 200,
		"/nothing": 404, "/app": 404, "/app/": 404, "/vendor/README.md": 404, "/files/index.html": 404, "/../page.go": 404,
	} {
		r := request(t, http.MethodGet, target, nil)
		if r.StatusCode != status {
			t.Errorf("%s: status %d, want %d", target, r.StatusCode, status)
		}
		csp := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q lacks %q", target, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %q", target, csp)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", target, r.Header)
		}
	}
}

func TestBrowserKeepsFiles(t *testing.T) {
	first := request(t, http.MethodGet, "/style.css", nil)
	if !strings.HasPrefix(first.Header.Get("Content-Type"), "text/css") || len(body(t, first)) < 1000 {
		t.Errorf("the style sheet is %v", first.Header)
	}
	tag := first.Header.Get("ETag")
	again := request(t, http.MethodGet, "/style.css", http.Header{"If-None-Match": {tag}})
	if tag == "" || again.StatusCode != http.StatusNotModified || body(t, again) != "" {
		t.Errorf("with its tag %s the file is answered with %d", tag, again.StatusCode)
	}
	if other := request(t, http.MethodGet, "/", http.Header{"If-None-Match": {tag}}); other.StatusCode != http.StatusOK {
		t.Errorf("another file is answered with %d", other.StatusCode)
	}
	if head := request(t, http.MethodHead, "/", nil); head.StatusCode != http.StatusOK || body(t, head) != "" {
		t.Errorf("HEAD is answered with %d", head.StatusCode)
	}
}

func TestPageIsReadOnly(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if r := request(t, method, "/", nil); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, r.StatusCode, r.Header.Get("Allow"))
		}
	}
}

// TestVendoredFiles compares uPlot with its package: nobody has changed it here.
func TestVendoredFiles(t *testing.T) {
	for target, want := range map[string]string{
		"/vendor/uPlot.esm.js":  "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
		"/vendor/uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
	} {
		sum := sha256.Sum256([]byte(body(t, request(t, http.MethodGet, target, nil))))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s has the sum %s, and uPlot 1.6.32 has %s", target, got, want)
		}
	}
}
