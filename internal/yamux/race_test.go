//go:build race

package yamux_test

// poolsLose is how much more memory tests see under the race detector, which makes
// every pool lose a part of what it is given back.
const poolsLose = 8
