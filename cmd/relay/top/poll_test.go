package top

import (
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

func at(second float64, received, sent int64) *snapshot {
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	return &snapshot{
		status:  api.Status{Started: start, Now: start.Add(time.Duration(second * float64(time.Second))), Received: received, Sent: sent},
		tunnels: []api.Tunnel{{ID: "t1", Received: received, Sent: sent}},
		users:   []api.User{{ID: "u1", Received: received / 2, Sent: sent / 2}},
	}
}

func TestRates(t *testing.T) {
	r, ok := ratesBetween(at(1, 100, 1000), at(3, 300, 5000))
	if want := (rate{100, 2000}); !ok || r.all != want || r.tunnels["t1"] != want || r.users["u1"] != (rate{50, 1000}) {
		t.Errorf("%+v, %t", r, ok)
	}
	if _, ok := ratesBetween(at(1, 100, 1000), at(1.1, 300, 5000)); ok {
		t.Error("a tenth of a second says nothing about a rate")
	}
	// What has come since has no rate, and a sum that has become less is none.
	later := at(3, 50, 5000)
	later.users[0].ID = "u2"
	if r, ok = ratesBetween(at(1, 100, 1000), later); !ok || r.all != (rate{0, 2000}) || r.users["u2"] != (rate{}) {
		t.Errorf("%+v, %t", r, ok)
	}
	// Another process has counted from 0.
	later.status.Started = later.status.Now
	if r, ok = ratesBetween(at(1, 100, 1000), later); !ok || r.all != (rate{}) || len(r.tunnels) != 0 {
		t.Errorf("%+v, %t", r, ok)
	}
}
