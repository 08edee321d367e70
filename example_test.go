package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

// fetch is a user.
func fetch(public net.Addr) {
	resp, err := http.Get("http://" + public.String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
}

// A web server that nobody can reach, online through a relay. The zero options
// will do.
func ExampleListen() {
	r, err := relaytest.New() // in earnest: relay 8080, on a machine that everybody can reach
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	l, err := relay.Listen(context.Background(), r.Addr(), nil)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		err := http.Serve(l, http.HandlerFunc(hello))
		fmt.Println("closed:", errors.Is(err, net.ErrClosed))
	}()
	fetch(l.Addr())
	_ = l.Close()
	// Unordered output:
	// hello <nil>
	// closed: true
}

// With Pool, connections wait at the relay for users.
func ExampleListen_pool() {
	r, err := relaytest.New()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	l, err := relay.Listen(context.Background(), r.Addr(), &relay.Options{
		Protocol: relay.Pool,
		PoolSize: 4,
	})
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(hello))
	fetch(l.Addr())
	_ = l.Close()
	// Output: hello <nil>
}

// With Event, a connection is opened for each user who comes.
func ExampleListen_event() {
	r, err := relaytest.New()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	l, err := relay.Listen(context.Background(), r.Addr(), &relay.Options{Protocol: relay.Event})
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(hello))
	fetch(l.Addr())
	_ = l.Close()
	// Output: hello <nil>
}

// Forward puts a server online that knows nothing of Relay.
func ExampleForward() {
	r, err := relaytest.New()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(server, http.HandlerFunc(hello))
	defer server.Close()

	ctx, cancel := context.WithCancel(context.Background())
	public := make(chan net.Addr, 1)
	done := make(chan error)
	go func() {
		done <- relay.Forward(ctx, r.Addr(), server.Addr().String(), &relay.Options{
			OnRegister: func(addr net.Addr) { public <- addr },
		})
	}()
	fetch(<-public)
	http.DefaultClient.CloseIdleConnections() // or Forward would let it finish
	cancel()
	fmt.Println(<-done)
	// Output:
	// hello <nil>
	// <nil>
}
