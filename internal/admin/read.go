package admin

import (
	"maps"
	"net/http"

	"github.com/seed96252745/relay/internal/api"
)

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	status := s.Node.Status()
	status.Problems = append(orEmpty(status.Problems), s.reported()...)
	answer(w, http.StatusOK, status)
	return nil
}

func (s *Server) tunnels(w http.ResponseWriter, r *http.Request) error {
	return list(w, r, s.Node.Tunnels)
}

func (s *Server) tunnel(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	for _, t := range s.Node.Tunnels() {
		if t.ID == r.PathValue("id") {
			answer(w, http.StatusOK, t)
			return nil
		}
	}
	return unknownTunnel()
}

func unknownTunnel() *refusal {
	return refuse(http.StatusNotFound, "unknown_tunnel", "there is no tunnel with this id: it has ended, or it never was")
}

func (s *Server) users(w http.ResponseWriter, r *http.Request) error {
	return listOf(w, r, s.Node.Users)
}

func (s *Server) ended(w http.ResponseWriter, r *http.Request) error {
	return listOf(w, r, s.Node.Ended)
}

func (s *Server) refusals(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "limit")
	if err != nil {
		return err
	}
	n, err := limit(values)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, orEmpty(s.Node.Refusals(n)))
	return nil
}

func (s *Server) limits(w http.ResponseWriter, r *http.Request) error {
	return list(w, r, s.Node.Limits)
}

func (s *Server) bans(w http.ResponseWriter, r *http.Request) error {
	return list(w, r, s.Node.Bans)
}

func (s *Server) causes(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	causes := s.Node.Causes()
	causes.Minutes = orEmpty(causes.Minutes)
	for i := range causes.Minutes {
		m := &causes.Minutes[i]
		for _, counts := range []*map[string]int64{&m.Ends, &m.Resets, &m.Refused} {
			if *counts == nil {
				*counts = map[string]int64{}
			}
		}
	}
	answer(w, http.StatusOK, causes)
	return nil
}

func (s *Server) settings(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	given := make(map[string]string) // {} in JSON, and not null
	if s.Settings != nil {
		maps.Copy(given, s.Settings())
	}
	answer(w, http.StatusOK, api.Settings{Flags: given})
	return nil
}

// list answers with all there is.
func list[T any](w http.ResponseWriter, r *http.Request, get func() []T) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	answer(w, http.StatusOK, orEmpty(get()))
	return nil
}

// listOf answers with some of a tunnel, or of all.
func listOf[T any](w http.ResponseWriter, r *http.Request, get func(tunnel string, limit int) []T) error {
	values, err := parameters(r, "tunnel", "limit")
	if err != nil {
		return err
	}
	n, err := limit(values)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, orEmpty(get(values.Get("tunnel"), n)))
	return nil
}

// orEmpty returns a list that is [] in JSON, and not null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
