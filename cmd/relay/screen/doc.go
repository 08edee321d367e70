// Package screen writes what the admin API says for people at a terminal: tables that fit
// its width, units, times, and the words for states and ends.
//
// Names, addresses and errors come from strangers. Each of them goes through [Clean]
// before it is shown.
package screen
