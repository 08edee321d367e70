// Package admission bounds what others can make a relay hold: how much of it, for
// whom, and how often. [Limits] has every figure; [Counters] say how often each
// was met.
//
// What is here knows addresses and numbers, and nothing of connections: who is
// counted, and what becomes of one too many, is for package server to say.
//
// Counting by address needs one word: a [Source] is who stands behind an
// address, as far as addresses can tell.
package admission
