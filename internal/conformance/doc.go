// Package conformance is the suite that every protocol passes. It tries what Relay
// promises of exact TCP through a relay, a forwarder and a local server, with plain
// sockets at both ends.
//
// It runs over every protocol of relay.Protocols, and over one of its own, in
// inprocess_test.go, which shows all that a protocol has to be. The package has no code
// of its own.
package conformance
