//go:build race

package yamux_test

// poolsLose is how much more memory is seen with the race detector, which makes
// every pool lose a part of what it is given back.
const poolsLose = 8
