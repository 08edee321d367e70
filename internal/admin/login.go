package admin

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed login.html
var loginPage string

// maxForm bounds the form: a token has at most 512 bytes.
const maxForm = 4 << 10

// loginForm is the page with the form.
type loginForm struct {
	page   *template.Template
	policy string
}

func newLoginForm() loginForm {
	_, style, _ := strings.Cut(loginPage, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	hash := sha256.Sum256([]byte(style))
	return loginForm{
		page: template.Must(template.New("login").Parse(loginPage)),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
}

// show shows the form, with a message.
func (f loginForm) show(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Security-Policy", f.policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = f.page.Execute(w, message) // the browser may be gone
}

// defineLogin has browsers log in: they cannot send a token with each request.
func (d *door) defineLogin() {
	form := newLoginForm()
	d.public.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { form.show(w, http.StatusOK, "") })
	d.public.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) { d.logIn(w, r, form) })
	d.public.HandleFunc("POST /logout", d.logOut)
}

func (d *door) logIn(w http.ResponseWriter, r *http.Request, form loginForm) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		form.show(w, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	err := d.tryToken(r, strings.TrimSpace(r.PostForm.Get("token")))
	if e := new(refusal); errors.As(err, &e) {
		message := "That is not the token."
		if e.status == http.StatusTooManyRequests {
			setRetryAfter(w, e.wait)
			message = "Too many wrong tokens came from this address. Try again later."
		}
		form.show(w, e.status, message)
		return
	}
	http.SetCookie(w, d.cookie(r, d.tokens.open(time.Now()), int(sessionTime/time.Second)))
	d.Log.Info("a browser has logged in to the admin page", "from", r.RemoteAddr)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (d *door) logOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(d.cookieName(r)); err == nil {
		d.tokens.end(cookie.Value)
	}
	http.SetCookie(w, d.cookie(r, "", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// cookie returns the cookie of a session. Scripts do not see it, and the browser sends it
// with no request of another site.
func (d *door) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: d.cookieName(r), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	}
}
