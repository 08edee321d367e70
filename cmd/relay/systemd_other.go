//go:build !linux

package main

// monotonicNow returns nothing: systemd is for Linux.
func monotonicNow() []string { return nil }
