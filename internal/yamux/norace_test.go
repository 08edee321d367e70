//go:build !race

package yamux_test

const poolsLose = 1 // see race_test.go
