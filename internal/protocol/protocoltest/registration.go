package protocoltest

import (
	"context"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// Registration is a registration that is served. Its connections wait for Accept.
type Registration struct {
	protocol.Registration
	conns chan conn.Conn // never closed
	ended chan struct{}
	err   error // of Serve; set before ended is closed
}

// Register registers and serves the registration in the background.
func Register(ctx context.Context, client protocol.Client, dial protocol.Dialer) (*Registration, error) {
	return register(ctx, client, dial, protocol.Registration.Serve)
}

func register(
	ctx context.Context, client protocol.Client, dial protocol.Dialer,
	serve func(protocol.Registration, protocol.Acceptor) error,
) (*Registration, error) {
	registration, err := client.Register(ctx, dial, protocol.Preamble{})
	if err != nil {
		return nil, err
	}
	r := &Registration{registration, make(chan conn.Conn), make(chan struct{}), nil}
	go func() {
		defer close(r.ended)
		r.err = serve(registration, func(registered context.Context, conn conn.Conn) {
			select {
			case r.conns <- conn:
			case <-registered.Done():
				_ = conn.Reset()
			}
		})
	}()
	return r, nil
}

// Ended returns a channel that is closed when Serve has returned.
func (r *Registration) Ended() <-chan struct{} { return r.ended }

// Accept waits for the next connection. Its error is that of Serve.
func (r *Registration) Accept() (conn.Conn, error) {
	select {
	case conn := <-r.conns:
		return conn, nil
	case <-r.ended:
		return nil, r.err
	}
}

// Close ends the registration and waits for Serve.
func (r *Registration) Close() error {
	err := r.Registration.Close()
	<-r.ended
	return err
}
