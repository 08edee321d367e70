package node

import "github.com/seed96252745/relay/internal/server"

// ServerOf returns the server that an Admin looks at.
func ServerOf(a *Admin) *server.Server { return a.config.Server }
