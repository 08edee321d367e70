package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

// fetch fetches a page as a user does.
func fetch(public net.Addr) {
	resp, err := http.Get("http://" + public.String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
}

// A web server that nobody can reach, online through a relay with the default options.
func ExampleListen() {
	r, err := relaytest.New() // for real: relay 8080, on a machine that everybody can reach
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	l, err := relay.Listen(context.Background(), r.Addr(), nil)
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- http.Serve(l, http.HandlerFunc(hello)) }()
	fetch(l.Addr())
	_ = l.Close()
	fmt.Println("closed:", errors.Is(<-served, net.ErrClosed))
	// Output:
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

// A program that keeps its key has the same public port after a restart. The RemoteAddr of a
// connection is the user's.
func ExampleFileKeys() {
	r, err := relaytest.New()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	start := func() net.Listener {
		l, err := relay.Listen(context.Background(), r.Addr(), &relay.Options{Keys: relay.FileKeys(dir)})
		if err != nil {
			log.Fatal(err)
		}
		return l
	}
	first := start()
	before := first.Addr()
	_ = first.Close()
	second := start() // as after a restart
	fmt.Println("same port:", second.Addr() == before)

	user, err := net.Dial("tcp", second.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer user.Close()
	conn, err := second.Accept()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("from the user:", conn.RemoteAddr().String() == user.LocalAddr().String())
	_ = conn.Close()
	_ = second.Close()
	// Output:
	// same port: true
	// from the user: true
}

// Forward puts an unmodified server online.
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

// A Forwarder can be looked at while it runs.
func ExampleForwarder() {
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

	public := make(chan net.Addr, 1)
	f, err := relay.NewForwarder(r.Addr(), server.Addr().String(), &relay.Options{
		OnRegister: func(addr net.Addr) { public <- addr },
		OnEvent: func(e relay.TunnelEvent) {
			if e.Name == "user_done" {
				fmt.Println("ended by the", e.EndedBy, "with", e.How)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	fetch(<-public)

	state := f.State()
	fmt.Println("registered:", state.Registered)
	fmt.Println("local server:", state.LocalServer.Err)
	for _, user := range f.Users(10) {
		fmt.Println("a user from loopback:", user.Addr.(*net.TCPAddr).IP.IsLoopback())
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	fmt.Println(<-done)
	// Output:
	// hello <nil>
	// registered: true
	// local server: <nil>
	// a user from loopback: true
	// ended by the user with fin
	// <nil>
}

// A Forwarder can be changed while it runs.
func ExampleForwarder_Replace() {
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

	public := make(chan net.Addr, 2)
	f, err := relay.NewForwarder(r.Addr(), server.Addr().String(), &relay.Options{
		OnRegister: func(addr net.Addr) { public <- addr },
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	before := <-public

	err = f.Replace(r.Addr(), server.Addr().String(), &relay.Options{Protocol: relay.Pool, Users: 100})
	if err != nil {
		log.Fatal(err)
	}
	after := <-public
	fmt.Println("the same address:", before == after)
	fetch(after)
	http.DefaultClient.CloseIdleConnections()
	cancel()
	fmt.Println(<-done)
	// Output:
	// the same address: true
	// hello <nil>
	// <nil>
}
