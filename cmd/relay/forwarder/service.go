package forwarder

import "github.com/seed96252745/relay"

// Service is a server to put online.
type Service struct {
	Name         string // its key in the file, or "" from the command line
	Relay, Local string // addresses
	Options      relay.Options
}
