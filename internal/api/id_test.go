package api_test

import (
	"testing"

	"github.com/seed96252745/relay/internal/api"
)

func TestIDs(t *testing.T) {
	for _, n := range []uint64{1, 42, 1<<64 - 1} {
		if got, ok := api.ParseTunnelID(api.TunnelID(n)); !ok || got != n {
			t.Errorf("tunnel %d is %q, and that is %d, %t", n, api.TunnelID(n), got, ok)
		}
		if got, ok := api.ParseUserID(api.UserID(n)); !ok || got != n {
			t.Errorf("user %d is %q, and that is %d, %t", n, api.UserID(n), got, ok)
		}
	}
	if api.TunnelID(0) != "" || api.UserID(0) != "" {
		t.Error("0 has an identifier")
	}
	for _, s := range []string{"", "t", "t0", "t01", "t+1", "t-1", "t1 ", "u1", "1", "tt1", "t18446744073709551616"} {
		if n, ok := api.ParseTunnelID(s); ok {
			t.Errorf("%q is tunnel %d", s, n)
		}
	}
}
