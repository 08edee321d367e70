//go:build !linux

package doctor

import (
	"context"
	"time"
)

// freeSpace reports that it is not known.
func freeSpace(string) (bytes int64, known bool) { return 0, false }

// clock shows the time, for people to compare.
func (m *Machine) clock(context.Context) Finding {
	return skipped("%s; this system does not say whether that is right", moment(time.Now()))
}
