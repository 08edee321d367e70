package relay_test

import (
	"io"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// An accepted connection has the addresses that it would have without a relay: the user's, and
// the public one that the user has connected to.
func TestAcceptedAddrs(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		options.PoolSize = 2
		l := listen(t, relaytest.Start(t).Addr(), options)
		for range 5 {
			user := dialUser(t, l.Addr().String())
			if _, err := user.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			_ = user.CloseWrite()
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := conn.RemoteAddr().String(), user.LocalAddr().String(); got != want {
				t.Errorf("the user has address %s, want %s", got, want)
			}
			if got, want := conn.LocalAddr().String(), user.RemoteAddr().String(); got != want {
				t.Errorf("the public address is %s, want %s", got, want)
			}
			if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil {
				t.Errorf("the user said %q, %v", got, err)
			}
			if _, err := conn.Write([]byte("hello yourself")); err != nil {
				t.Error(err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(user); string(got) != "hello yourself" || err != nil {
				t.Errorf("the user got %q, %v", got, err)
			}
		}
	})
}
