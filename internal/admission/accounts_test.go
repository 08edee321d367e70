package admission_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/policy"
)

// An account is kept for as long as its rates differ from those of a new one.
func TestAccountsAreForgotten(t *testing.T) {
	for name, c := range map[string]struct {
		moved int // bytes, of 16 KiB that may go at once, and 2000 a second
		kept  time.Duration
	}{
		"rates of users": {0, 2 * time.Second},
		"bytes":          {12_000, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := admission.NewAccounts(admission.Limits{}.WithDefaults())
				defer a.Stop()
				want := func(n int) {
					t.Helper()
					synctest.Wait()
					if got := a.Len(); got != n {
						t.Fatalf("there are %d accounts, want %d", got, n)
					}
				}
				open := func() (*admission.Account, *admission.TunnelPolicy) {
					account := a.Open("a", 1, func() {})
					return account, a.Apply(account, policy.Policy{BytesPerSecond: 2000})
				}
				first, _ := open()
				a.Close(first)
				<-time.After(time.Second)
				again, applied := open()
				<-time.After(time.Hour)
				want(1)
				applied.Bytes().AllowN(time.Now(), c.moved)
				a.Close(again)
				<-time.After(c.kept - time.Millisecond)
				want(1)
				<-time.After(2 * time.Millisecond)
				want(0)
			})
		})
	}
}

// An owner that registers at many ports, one after the other, has the relay remember so
// many accounts and no more.
func TestAccountsAreBounded(t *testing.T) {
	a := admission.NewAccounts(admission.Limits{}.WithDefaults())
	defer a.Stop()
	for port := range 2 * admission.MaxIdleAccounts {
		a.Close(a.Open("a", port, func() {}))
	}
	if n := a.Len(); n != admission.MaxIdleAccounts {
		t.Errorf("there are %d accounts, want %d", n, admission.MaxIdleAccounts)
	}
}
