package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/seed96252745/relay/internal/api"
)

// route is one operation of the API.
type route struct {
	method, path string
	handle       func(w http.ResponseWriter, r *http.Request) error
}

// prefix is where version 1 of the API begins.
const prefix = "/api/v1"

// operations returns the operations of the API, which openapi.yaml describes.
func (s *Server) operations() []route {
	return []route{
		{"GET", "/status", s.status},
		{"GET", "/tunnels", s.tunnels},
		{"GET", "/tunnels/{id}", s.tunnel},
		{"POST", "/tunnels/{id}/close", s.change("close", Node.CloseTunnel)},
		{"POST", "/tunnels/{id}/pause", s.change("pause", Node.Pause)},
		{"POST", "/tunnels/{id}/resume", s.change("resume", Node.Resume)},
		{"GET", "/users", s.users},
		{"DELETE", "/users/{id}", s.endUser},
		{"GET", "/ended", s.ended},
		{"GET", "/refusals", s.refusals},
		{"GET", "/limits", s.limits},
		{"GET", "/causes", s.causes},
		{"GET", "/settings", s.settings},
		{"GET", "/bans", s.bans},
		{"POST", "/bans", s.ban},
		{"DELETE", "/bans/{source}", s.unban},
		{"POST", "/tokens", s.newToken},
		{"POST", "/reload", s.reload},
		{"POST", "/drain", s.drain},
		{"GET", "/events", s.events},
		{"GET", "/openapi.yaml", openAPI},
	}
}

// register adds operations to a mux, and has it refuse other methods.
func register(mux *http.ServeMux, operations []route) {
	methods := make(map[string][]string)
	for _, op := range operations {
		mux.HandleFunc(op.method+" "+prefix+op.path, func(w http.ResponseWriter, r *http.Request) {
			if err := op.handle(w, r); err != nil {
				answerError(w, err)
			}
		})
		methods[op.path] = append(methods[op.path], op.method)
	}
	for path, allowed := range methods {
		mux.HandleFunc(prefix+path, func(w http.ResponseWriter, _ *http.Request) { refuseMethod(w, allowed) })
	}
}

func nothingHere(w http.ResponseWriter, _ *http.Request) {
	answerError(w, refuse(http.StatusNotFound, "unknown_path", "there is nothing here: %s/openapi.yaml has what there is", prefix))
}

// readOnly refuses what is to change something.
func readOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			refuseMethod(w, []string{http.MethodGet})
			return
		}
		h.ServeHTTP(w, r)
	})
}

func refuseMethod(w http.ResponseWriter, allowed []string) {
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(slices.Clone(allowed), http.MethodHead)
	}
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	answerError(w, refuse(http.StatusMethodNotAllowed, "method_not_allowed", "this has %s", list))
}

func openAPI(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(api.OpenAPI) // the client may be gone
	return nil
}
