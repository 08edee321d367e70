package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// handshake reads what a connection to the control port wants, and gives it to
// whom it concerns. Whatever is not a request is closed without a word.
func (s *Server) handshake(conn join.Conn) {
	_ = conn.SetDeadline(time.Now().Add(s.config.HandshakeTimeout)) // fails as the read does
	req, err := wire.ReadRequest(wire.NewReader(conn))
	if err != nil {
		s.log.Debug("connection closed: not a request", "relayClient", conn.RemoteAddr(), "error", err)
		_ = conn.Close()
		return
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		_ = conn.Reset()
		s.logRefused(conn, req, err)
		return
	}
	if req.IsClaim() {
		_ = conn.SetWriteDeadline(time.Time{})
		err = s.claim(conn, req)
	} else {
		err = s.register(conn, req)
	}
	s.logRefused(conn, req, err)
}

// claimNow answers conn if it is a claim, and all of it has come.
func (s *Server) claimNow(conn join.Conn) bool {
	req, ok := wire.ReadClaimNow(conn)
	if ok {
		s.logRefused(conn, req, s.claim(conn, req))
	}
	return ok
}

func (s *Server) logRefused(conn join.Conn, req wire.Request, err error) {
	if err != nil {
		s.log.Info("request refused", "relayClient", conn.RemoteAddr(),
			"protocol", req.Verb, "claim", req.IsClaim(), "error", err)
	}
}

// claim hands on a connection that has no deadline.
func (s *Server) claim(conn join.Conn, req wire.Request) error {
	if len(req.Options) > 0 {
		_ = conn.Reset()
		return fmt.Errorf("unknown option %q", req.Options[0].Key)
	}
	return s.config.Protocols[req.Verb].Claim(conn, req.ID)
}

// register opens a public port for the relay client, and then tells it.
func (s *Server) register(conn join.Conn, req wire.Request) error {
	if len(req.Options) > 0 {
		return refuse(conn, wire.CodeUnknownOption, req.Options[0].Key)
	}
	if s.draining.Err() != nil {
		return refuse(conn, wire.CodeDraining, "this relay is shutting down")
	}
	listener, port, err := s.ports.open()
	if err != nil {
		text := fmt.Sprintf("no public port is free in %s", s.config.Ports)
		if !errors.Is(err, errNoPort) {
			text = "the relay cannot open a public port"
		}
		return fmt.Errorf("%w; %w", refuse(conn, wire.CodeNoPort, text), err)
	}
	reach, err := s.announce(conn, req, port)
	if err != nil {
		_ = listener.Close()
		s.ports.release(port)
		return err
	}
	t := newTunnel(s, req.Verb, port, listener, reach, conn.RemoteAddr())
	if !s.startTunnel(t) {
		t.abandon()
	}
	return nil
}

// announce answers the registration, and lifts what is left of the handshake's
// deadline.
func (s *Server) announce(conn join.Conn, req wire.Request, port int) (protocol.Tunnel, error) {
	reach, err := s.config.Protocols[req.Verb].Register(conn, port)
	if err != nil {
		return nil, err
	}
	_ = conn.SetWriteDeadline(time.Time{})
	return reach, nil
}

func refuse(conn join.Conn, code, text string) error {
	refusal := &wire.Refusal{Code: code, Text: text}
	err := wire.WriteRefusal(conn, refusal)
	_ = conn.Close()
	if err != nil {
		return fmt.Errorf("%w; telling so: %w", refusal, err)
	}
	return refusal
}
