// Package relay puts servers online that cannot be reached. It connects out to a relay,
// which opens a public TCP port and joins each user who connects to that port with this
// process.
//
// [Listen] returns a [net.Listener] whose connections are those of the users. Any server
// that takes a listener can be put online:
//
//	l, err := relay.Listen(ctx, "relay.example.com:8080", nil)
//	if err != nil {
//		return err
//	}
//	log.Println("online at", l.Addr())
//	return http.Serve(l, handler)
//
// [Forward] does the same for an unmodified server on another port, as the command
// relay --localForwardPort does. A [Forwarder] is that with a state to look at, users who
// can be ended, and a pause.
//
// Connections behave as TCP does: each direction ends on its own, a reset is a reset, and a
// connection whose relay has died fails instead of looking ended. RemoteAddr is the user's
// address. If the relay is lost the listener registers anew; the connections of that moment
// are reset.
//
// The public port stays the same while the relay remembers its owner and the listener has
// its key: until the listener is closed, or for good with [Options.Keys]:
//
//	&relay.Options{Keys: relay.FileKeys("/var/lib/app/relay")}
//
// The package does not run a relay: the command relay does, and in tests package relaytest.
package relay
