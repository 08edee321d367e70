// Package conformance is the suite that every protocol passes: whatever
// Relay's promise of exact TCP says, it tries through a relay, a forwarder and
// a local server, with plain sockets at both ends.
//
// A protocol is added by one line in its table, suite_test.go. The package has
// no code of its own.
package conformance
