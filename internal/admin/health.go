package admin

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// healthz reports that the process answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") }

// readyTime is how long a readiness holds. Strangers may ask for it, and a status of 10,000
// tunnels takes milliseconds.
const readyTime = 100 * time.Millisecond

// readiness is whether the process takes users, as it was a moment ago. It may be used
// concurrently.
type readiness struct {
	mu     sync.Mutex // guards what follows
	asked  time.Time
	status int
	text   string
}

// readyz reports whether the process takes users.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	status, text := s.ready.of(s.Node)
	say(w, status, text)
}

func (r *readiness) of(n Node) (status int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked.IsZero() || time.Since(r.asked) >= readyTime {
		r.status, r.text = readinessOf(n.Status())
		r.asked = time.Now()
	}
	return r.status, r.text
}

func readinessOf(s api.Status) (status int, text string) {
	switch {
	case s.Draining:
		return http.StatusServiceUnavailable, "draining"
	case s.Kind == api.Forwarder && s.Tunnels == 0:
		return http.StatusServiceUnavailable, "not registered at the relay"
	case s.Kind == api.Forwarder && s.Away > 0:
		return http.StatusServiceUnavailable, fmt.Sprintf("%d of %d services are not registered at the relay", s.Away, s.Tunnels+s.Away)
	}
	return http.StatusOK, "ready"
}

// readyTunnel reports whether a tunnel, by its public port, its ID or its service, serves users.
// One of which that is not known does not.
func (s *Server) readyTunnel(w http.ResponseWriter, r *http.Request) {
	t, ok := findTunnel(s.Node.Tunnels(), r.PathValue("tunnel"))
	if !ok {
		say(w, http.StatusNotFound, "unknown_tunnel")
		return
	}
	status, text := http.StatusServiceUnavailable, string(t.State)
	if t.State == api.Up {
		status = http.StatusOK
	}
	if t.Error != "" {
		text += ": " + t.Error
	}
	say(w, status, text)
}

// findTunnel returns the tunnel with an ID or a public port, or else that of a service. Of a
// service that was taken away and is back there may be two, on one port: the later one is meant.
func findTunnel(all []api.Tunnel, which string) (found api.Tunnel, ok bool) {
	byPort := false
	for _, t := range all {
		switch which {
		case t.ID:
			return t, true
		case strconv.Itoa(t.Port):
			found, ok, byPort = t, true, true
		case t.Service:
			if !byPort {
				found, ok = t, true
			}
		}
	}
	return found, ok
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the client may be gone
}

// longestProfile bounds the seconds of a profile over time, which costs the process
// something.
const longestProfile = 120

// defineProfiles serves what a developer asks for. The command line is left out: others
// have had secrets there.
func defineProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", profile(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", func(w http.ResponseWriter, _ *http.Request) {
		answerError(w, refuse(http.StatusNotFound, "unknown_path", "the command line is not shown"))
	})
	mux.HandleFunc("GET /debug/pprof/profile", profile(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/symbol", profile(pprof.Symbol))
	mux.HandleFunc("GET /debug/pprof/trace", profile(pprof.Trace))
}

// profile bounds how long a profile takes, and has it take longer than other answers.
func profile(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if text := r.FormValue("seconds"); text != "" {
			if n, err := strconv.Atoi(text); err != nil || n < 1 || n > longestProfile {
				answerError(w, badRequest("seconds is a number from 1 to %d", longestProfile))
				return
			}
		}
		// The end of the time for the request would end the profile too. Package pprof sees
		// to that for the answer.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(longestProfile*time.Second + answerWait))
		handle(w, r)
	}
}

func refuseProfiles(w http.ResponseWriter, _ *http.Request) {
	answerError(w, refuse(http.StatusForbidden, "needs_token", "profiles are served at the unix socket, or with --adminTokenFile"))
}
