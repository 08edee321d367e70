package admin

import (
	"net/http"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// sessionOperations returns the operations with which a browser logs in and out: it cannot
// send the token with each request, as programs do.
func (d *door) sessionOperations() []route {
	return []route{
		{"POST", "/session", d.logIn},
		{"DELETE", "/session", d.logOut},
	}
}

func (d *door) logIn(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	var in api.NewSession
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if d.Token == "" {
		return refuse(http.StatusConflict, "no_token", "there is no token here, and nothing to log in to")
	}
	if err := d.tryToken(r, in.Token); err != nil {
		return err
	}
	http.SetCookie(w, d.cookie(r, d.tokens.open(time.Now()), int(sessionTime/time.Second)))
	d.Log.Info("a browser has logged in to the admin page", "from", r.RemoteAddr)
	answer(w, http.StatusNoContent, nil)
	return nil
}

func (d *door) logOut(w http.ResponseWriter, r *http.Request) error {
	if err := bare(r); err != nil {
		return err
	}
	if cookie, err := r.Cookie(d.cookieName(r)); err == nil {
		d.tokens.end(cookie.Value)
	}
	http.SetCookie(w, d.cookie(r, "", -1))
	answer(w, http.StatusNoContent, nil)
	return nil
}

// cookie returns the cookie of a session. Scripts do not see it, and the browser sends it
// with no request of another site.
func (d *door) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: d.cookieName(r), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	}
}
