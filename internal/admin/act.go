package admin

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/policy"
)

// longestBan bounds a ban: a mistaken one is forgotten some day.
const longestBan = 366 * 24 * time.Hour

// act has the node do something, and logs who wanted it. If there is nothing of that name it
// returns unknown, unless that is nil.
func (s *Server) act(r *http.Request, what, whom string, do func() error, unknown *refusal) error {
	by := r.RemoteAddr
	if by == "" || by == "@" {
		by = "socket"
	}
	err := do()
	if err != nil {
		s.Log.Info("an act of the admin API has failed", "act", what, "of", whom, "by", by, "error", err)
		if unknown != nil && errors.Is(err, ErrUnknown) {
			return unknown
		}
		return err
	}
	s.Log.Info("the admin API was used", "act", what, "of", whom, "by", by)
	return nil
}

// bare refuses what none of these requests has.
func bare(r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	return noBody(r)
}

func (s *Server) change(what string, do func(Node, string) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := bare(r); err != nil {
			return err
		}
		id := r.PathValue("id")
		err := s.act(r, what+"_tunnel", id, func() error { return do(s.Node, id) }, unknownTunnel())
		if err != nil {
			return err
		}
		answer(w, http.StatusNoContent, nil)
		return nil
	}
}

func (s *Server) endUser(w http.ResponseWriter, r *http.Request) error {
	if err := bare(r); err != nil {
		return err
	}
	id := r.PathValue("id")
	unknown := refuse(http.StatusNotFound, "unknown_user", "there is no user with this id: the connection has ended, or it never was")
	if err := s.act(r, "end_user", id, func() error { return s.Node.EndUser(id) }, unknown); err != nil {
		return err
	}
	answer(w, http.StatusNoContent, nil)
	return nil
}

func (s *Server) ban(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	var in api.NewBan
	if err := decode(w, r, &in); err != nil {
		return err
	}
	source, err := parseSource(in.Source)
	if err != nil {
		return err
	}
	most := int64(longestBan / time.Second)
	if in.Seconds < 1 || in.Seconds > most {
		return badRequest("seconds is a number from 1 to %d", most)
	}
	d := time.Duration(in.Seconds) * time.Second
	until := time.Now().UTC().Add(d)
	err = s.act(r, "ban", observe.SourceString(source), func() error { return s.Node.Ban(source, d) }, nil)
	if err != nil {
		return err
	}
	answer(w, http.StatusCreated, api.Ban{Source: observe.SourceString(source), Until: until})
	return nil
}

func (s *Server) unban(w http.ResponseWriter, r *http.Request) error {
	if err := bare(r); err != nil {
		return err
	}
	source, err := parseSource(r.PathValue("source"))
	if err != nil {
		return err
	}
	unknown := refuse(http.StatusNotFound, "unknown_ban", "this source is not banned")
	err = s.act(r, "unban", observe.SourceString(source), func() error { return s.Node.Unban(source) }, unknown)
	if err != nil {
		return err
	}
	answer(w, http.StatusNoContent, nil)
	return nil
}

// parseSource reads an address, or a network. All addresses there are make no source.
func parseSource(text string) (netip.Prefix, error) {
	source, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, badRequest("source is an address, or a network: 192.0.2.7 or 2001:db8::/32")
		}
		addr = addr.Unmap()
		source = netip.PrefixFrom(addr, addr.BitLen())
	}
	if source.Addr().Is4In6() {
		return netip.Prefix{}, badRequest("source is a network of IPv4 in the notation of IPv6: write it as 192.0.2.0/24")
	}
	if source.Bits() == 0 {
		return netip.Prefix{}, badRequest("source is everybody: to take no more users, pause the tunnels")
	}
	return source.Masked(), nil
}

func (s *Server) newToken(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	var in api.NewToken
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := policy.CheckName(in.Name); err != nil {
		return badRequest("name: %v", err)
	}
	out := api.Token{Name: in.Name}
	err := s.act(r, "new_token", in.Name, func() (err error) {
		out.Secret, out.Line, err = s.Node.NewToken(in.Name)
		return err
	}, nil)
	if err != nil {
		return err
	}
	answer(w, http.StatusCreated, out)
	return nil
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	if err := bare(r); err != nil {
		return err
	}
	if err := s.act(r, "reload", "", s.Node.Reload, nil); err != nil {
		return err
	}
	answer(w, http.StatusNoContent, nil)
	return nil
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request) error {
	if err := bare(r); err != nil {
		return err
	}
	_ = s.act(r, "drain", "", func() error { s.Node.Drain(); return nil }, nil) // has no error
	answer(w, http.StatusAccepted, nil)
	return nil
}
