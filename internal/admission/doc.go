// Package admission bounds what others can make a relay hold: how much of it, for whom,
// and how often. A [Controller] is asked for all of it: handshakes, tunnels and users.
// [Limits] has every figure, and [Counters] count how often each limit was met.
//
// Package admission knows addresses and numbers, and nothing of connections: its callers
// reset those that are not admitted. It counts peers by their [Source].
package admission
