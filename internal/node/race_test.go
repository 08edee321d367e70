//go:build race

package node_test

// raceFactor: what the race detector keeps beside each stack and object.
const raceFactor = 2
