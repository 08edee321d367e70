package observe

// State is how a tunnel does, as far as probes have shown.
type State string

// The states of a tunnel.
const (
	Up              State = "up"                       // users can be served
	LocalServerDown State = "local_server_down"        // the relay client answers, and cannot reach its server
	Silent          State = "relay_client_silent"      // its machine answers, and its process does not
	Unreachable     State = "relay_client_unreachable" // nothing answers
	Away            State = "away"                     // nobody serves the port
	Unknown         State = "unknown"                  // there has been no answer yet, or the relay client gives none
)
