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
	log := s.log.With("relayClient", conn.RemoteAddr().String())
	_ = conn.SetDeadline(time.Now().Add(s.config.HandshakeTimeout)) // fails as the read does
	req, err := wire.ReadRequest(wire.NewReader(conn))
	if err != nil {
		log.Debug("connection closed: not a request", "error", err)
		_ = conn.Close()
		return
	}
	if req.IsClaim() {
		err = s.claim(conn, req)
	} else {
		err = s.register(conn, req)
	}
	if err != nil {
		log.Info("request refused", "protocol", req.Verb, "claim", req.IsClaim(), "error", err)
	}
}

func (s *Server) claim(conn join.Conn, req wire.Request) error {
	if len(req.Options) > 0 {
		_ = conn.Reset()
		return fmt.Errorf("unknown option %q", req.Options[0].Key)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		_ = conn.Reset()
		return err
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

// announce answers the registration, and lifts the handshake's deadline.
func (s *Server) announce(conn join.Conn, req wire.Request, port int) (protocol.Tunnel, error) {
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		_ = conn.Reset()
		return nil, err
	}
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
