// Package image makes the container image of Relay, by make image. Its test builds and runs it.
package image
