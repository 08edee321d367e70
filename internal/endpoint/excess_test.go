package endpoint_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

// delays gets how many delayed users each event tells of.
type delays chan int64

func (d delays) Observe(e observe.Event) { d <- e.Delayed }

// all returns what there is by now.
func (d delays) all() (all []int64) {
	for len(d) > 0 {
		all = append(all, <-d)
	}
	return all
}

// Nothing that a burst has done is missing in the log, even if no other one follows.
func TestExcessOfBurstIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := make(delays, 10)
		e := endpoint.NewLimited(log)
		for i, c := range []struct {
			delayed int
			then    func()
			want    []int64
		}{
			{5, func() {}, []int64{1}},
			{3, func() { <-time.After(9 * time.Second) }, nil},
			{0, func() { <-time.After(2 * time.Second) }, []int64{7}},
			{0, func() { <-time.After(time.Hour) }, nil},
			{3, e.End, []int64{1, 2}},
			{2, func() { <-time.After(time.Hour) }, nil},
		} {
			for range c.delayed {
				e.Delay(admission.UsersPerSecond)
			}
			c.then()
			synctest.Wait()
			if got := log.all(); !slices.Equal(got, c.want) {
				t.Errorf("%d: the log tells of %d users, want %d", i, got, c.want)
			}
		}
	})
}

// What nobody has been told in an hour is told then, all in one.
func TestExcessIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := new(endpoint.Report)
		for _, c := range []struct {
			after time.Duration
			total wire.Notice
			want  string
		}{
			{0, wire.Notice{}, ""},
			{0, wire.Notice{Limit: "users", Waited: 1}, "users 1 0"},
			{time.Hour, wire.Notice{Limit: "users", Waited: 1}, ""},
			{0, wire.Notice{Limit: "users", Waited: 2}, "users 1 0"},
			{9 * time.Second, wire.Notice{Limit: "users", Waited: 5, Reset: 1}, ""},
			{2 * time.Second, wire.Notice{Limit: "users", Waited: 9, Reset: 2}, "users 7 2"},
		} {
			<-time.After(c.after)
			if got := told.Due(c.total); got != c.want {
				t.Errorf("of %+v it is told %q, want %q", c.total, got, c.want)
			}
		}
	})
}
