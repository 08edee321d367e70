//go:build !race

package node_test

// raceFactor is 1 where nothing is added to what a relay holds.
const raceFactor = 1
