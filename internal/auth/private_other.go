//go:build !unix

package auth

const (
	openFlags = 0
	// hasModes is false: who may read a file is not in its mode here.
	hasModes = false
)
