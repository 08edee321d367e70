// Package relay puts servers online that cannot be reached: it connects out to
// a relay, which opens a public TCP port and joins each user who comes there
// with this process.
//
// [Listen] gives a [net.Listener] whose connections are those users, so
// whatever serves a listener can be put online:
//
//	l, err := relay.Listen(ctx, "relay.example.com:8080", nil)
//	if err != nil {
//		return err
//	}
//	log.Println("online at", l.Addr())
//	return http.Serve(l, handler)
//
// [Forward] does the same for an unmodified server on another port, as the
// command relay --localForwardPort does.
//
// Connections behave as TCP does: each direction ends on its own, a reset is a
// reset, and a connection whose relay died fails instead of looking ended.
// RemoteAddr is the user's address. The listener survives the loss of the relay,
// and registers anew; connections under way do not.
//
// The public port stays the same for as long as the relay remembers whose it is,
// and the listener knows its key: until it is closed, or for good with [Options.Keys]:
//
//	&relay.Options{Keys: relay.FileKeys("/var/lib/app/relay")}
//
// The package does not run a relay. That is the command relay, and in tests
// package relaytest.
package relay
