package metrics

import "time"

// SetNow has the age of places counted by another clock.
func (m *Metrics) SetNow(now func() time.Time) { m.snapshot.tunnels.now = now }

// KeepGone is for how long a place is not given to another tunnel.
const KeepGone = keepGone
