// Package upgrade is how a process of the relay talks to the one that takes over from it: what
// they say, and how descriptors get from one to the other. What a relay does then is
// package server's.
//
// The two are connected by a socket pair, which the old process makes before it starts the new
// one. The new one asks, the old one hands over, and only when the new one has said that it is
// ready does the old one let go: until then either may fail, and the old one goes on. The link
// stands as long as both live, since users and connections of relay clients arrive at one that
// are the other's.
//
// A program for such handovers, such as cloudflare/tableflip, wants the old process gone
// before the next handover, and knows listeners alone. Here old processes live for as long as
// their users do, several at a time; leases, and who serves a port, go along; and a claim that
// arrives at the new process finds the user who waits in an old one. The descriptors are the
// smaller part of it.
package upgrade
