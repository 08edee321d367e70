package admin_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/observe"
)

// BenchmarkObserve is what the stream adds to the end of a user's connection.
func BenchmarkObserve(b *testing.B) {
	s := admin.NewStream()
	e := observe.Event{Name: observe.UserDone, User: user("192.0.2.7:40000")}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Observe(e)
		}
	})
}
