package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// maxBody bounds the body of a request. The largest has a name and a number.
const maxBody = 16 << 10

// refusal is an answer that is not a success.
type refusal struct {
	status int
	body   api.Error
	wait   time.Duration // after which it may be tried again, or zero
}

// Error returns what the caller is told.
func (e *refusal) Error() string { return e.body.Message }

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, body: api.Error{Code: code, Message: fmt.Sprintf(format, args...)}}
}

func badRequest(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, "bad_request", format, args...)
}

// answer writes a body, or none if it is nil.
func answer(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	var content bytes.Buffer
	to := json.NewEncoder(&content)
	to.SetEscapeHTML(false) // people read it too, and no browser takes it for HTML
	if err := to.Encode(body); err != nil {
		panic(err) // a type of package api cannot be written
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(content.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(content.Bytes()) // the client may be gone
}

// answerError writes an error. A node's is about what is asked of it, and not about the
// server.
func answerError(w http.ResponseWriter, err error) {
	e := new(refusal)
	switch {
	case errors.As(err, &e):
	case errors.Is(err, ErrUnsupported):
		e = refuse(http.StatusConflict, "unsupported", "%v", err)
	default:
		e = refuse(http.StatusConflict, "failed", "%v", err)
	}
	if e.wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.wait.Seconds()))))
	}
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="relay"`)
	}
	answer(w, e.status, e.body)
}

// decode reads a body of JSON into v, and refuses what is not in v.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body has to be JSON: Content-Type: application/json")
	}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	body.DisallowUnknownFields()
	err := body.Decode(v)
	if err == nil {
		if _, err = body.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = cmp.Or(err, errors.New("something follows it"))
	}
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return refuse(http.StatusRequestEntityTooLarge, "too_large", "the body has more than %d bytes", maxBody)
	}
	return badRequest("the body cannot be read: %v", err)
}

// noBody refuses a body where none has a meaning.
func noBody(r *http.Request) error {
	if n, _ := r.Body.Read(make([]byte, 1)); n > 0 {
		return badRequest("this request has no body")
	}
	return nil
}

// parameters returns the query of a request. It refuses one that is not among names, that
// is empty, or that comes twice and is not the last of names: a mistaken filter must not
// show what it was to leave out.
func parameters(r *http.Request, names ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query cannot be read: %v", err)
	}
	for name, of := range values {
		switch {
		case !slices.Contains(names, name):
			return nil, badRequest("there is no parameter %.40q", name)
		case slices.Contains(of, ""):
			return nil, badRequest("the parameter %s is empty: give it a value, or leave it out", name)
		case len(of) > 1 && name != eventParameter:
			return nil, badRequest("the parameter %s is given twice; it has one value", name)
		}
	}
	return values, nil
}

const (
	usualLimit = 100
	// maxLimit is as many connections as a node remembers.
	maxLimit = 10_000
)

// limit returns how many rows the answer may have.
func limit(values url.Values) (int, error) {
	text := values.Get("limit")
	if text == "" {
		return usualLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, badRequest("limit is a number from 1 to %d", maxLimit)
	}
	return n, nil
}
