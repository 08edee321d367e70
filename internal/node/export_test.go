package node

import (
	"time"

	"github.com/seed96252745/relay/internal/server"
)

// HasRisen reports whether a counter of this name has risen lately.
func (a *Admin) HasRisen(code string, n int64) (since time.Time, is bool) { return a.hasRisen(code, n) }

// ServerOf returns the server that an Admin looks at.
func ServerOf(a *Admin) *server.Server { return a.config.Server }
