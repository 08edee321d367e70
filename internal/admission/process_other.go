//go:build !unix

package admission

// processDescriptors returns that there is no limit.
func processDescriptors() int { return -1 }
