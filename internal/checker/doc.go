// Package checker finds out whether what stands between a user and a server is
// exact TCP. It plays both: [Use] makes many connections as users, [Serve]
// answers them as the server behind the tunnel, and both write down what they
// sent, what they got and how it ended, one JSON line ([Record]) for each
// connection. [Verify] compares the two accounts afterwards, so that whatever
// is killed or cut in between, what was seen until then counts.
//
// Every connection has a nonce, and every byte of its payload follows from the
// nonce, the direction and the position. A receiver so knows for each byte
// whether it is the right one, and Verify, whose it is if it is not.
//
// These hold in every run, or else there are violations:
//
//   - I1, no cross-talk: a user's bytes come to one connection of the server, and to no other user's.
//   - I2, prefix: what was received is the beginning of what was sent.
//   - I3, no silent truncation: a clean end comes after all bytes, and only if the peer ended cleanly.
//   - I4, half-close: the end of one direction does not end the other.
//   - I6, at most once: a user is given to one connection of the server.
//   - I7, no leak: see [Leaks], which is given figures from outside.
//
// In a clean run every connection has to be complete besides. In one with
// faults connections may fail, but so that both ends are told.
//
// The package listens, dials and checks. It starts no relay and injects no
// fault: a test puts in between what it tests.
package checker
