package doctor

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// MaxIdle bounds how long idle connections are looked at: no NAT that keeps them for a day
// hurts anybody.
const MaxIdle = 24 * time.Hour

// ages returns when a connection each is looked at, up to most: NATs forget after round
// figures.
func ages(most time.Duration) (list []time.Duration) {
	for _, a := range []time.Duration{
		10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
		15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if a < most {
			list = append(list, a)
		}
	}
	return append(list, most)
}

// lived is a connection that was idle.
type lived struct {
	age time.Duration
	err error // when something was sent after that
}

// idle finds out how long a user's connection lives on which nobody sends anything. There is
// one for each age, and the first bytes on it are those that try it.
func (f *Forwarder) idle(ctx context.Context) Finding {
	switch {
	case f.Idle == 0:
		return skipped("not asked for: --idle=2m has it looked at")
	case f.opened != nil || !f.is.relay || f.unusable:
		return skipped("no user gets through: see above")
	}
	var err error
	if f.tunnel, err = f.openAgain(ctx, f.Use, poolKept); err != nil {
		return problem("see port above: it has worked a moment ago", "no tunnel: %s", Plain(err.Error()))
	}
	all := ages(f.Idle)
	results := make([]lived, len(all))
	var trying sync.WaitGroup
	for i, age := range all {
		v, err := f.tunnel.visitWith(ctx, modePing, 0, net.Dialer{KeepAlive: -1}) // as most users' programs
		results[i] = lived{age, err}
		if err == nil {
			trying.Go(func() { results[i].err = v.after(ctx, age) })
		}
	}
	trying.Wait()
	return explainIdle(results, f.Idle)
}

// after waits for as long as age, and then tries the connection.
func (v *visit) after(ctx context.Context, age time.Duration) error {
	defer v.close()
	timer := time.NewTimer(age)
	defer timer.Stop()
	select {
	case <-timer.C:
		return v.ping(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func explainIdle(results []lived, asked time.Duration) Finding {
	var alive time.Duration
	var dead []string
	for _, r := range results {
		switch {
		case r.err != nil:
			dead = append(dead, fmt.Sprintf("%s (%s)", r.age, whyNot(r.err)))
		case len(dead) == 0:
			alive = r.age
		}
	}
	if len(dead) == 0 {
		return ok("an idle connection of a user lives for %s, with the keep-alives that the relay sends every 15 s", asked)
	}
	return problem("a NAT or firewall between here and the relay forgets idle connections, and keep-alives of TCP every 15 s do not help: raise its time-out "+
		"for established connections, or have your server and its users send something more often",
		"idle connections live for %s, and are dead after %s", alive, strings.Join(dead, ", "))
}
