package checker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Patience is how long a connection may be without progress, if nothing else
// is said: longer than anything Relay waits for, so that what is cut is cut by
// Relay.
const Patience = 60 * time.Second

// UseConfig says what users do.
type UseConfig struct {
	To string // address to connect to
	// SourceIP is the users' address; empty leaves it to the system.
	SourceIP string
	// Users is how many there are in all; zero is as many as fit into Duration.
	Users int
	// Parallel is how many there are at a time; zero is one.
	Parallel int
	// Rate is how many may begin each second; zero is no limit.
	Rate float64
	// Duration is how long new users come; zero is until all have come.
	Duration time.Duration
	// Modes are taken in turn. There has to be one.
	Modes []Mode
	// Up and Down are bytes of payload, for the modes that have some.
	Up, Down int64
	// Vary makes Up and Down the most that there is: sizes are drawn, from Seed,
	// so that each order of magnitude is as likely.
	Vary bool
	// Linger is Plan.Linger.
	Linger time.Duration
	// Seed and Run decide about every byte. The same server must not see the
	// same pair twice.
	Seed, Run uint64
	// Stall is how long a connection may be without progress; zero is Patience.
	Stall time.Duration
	// Records is where records are written, a line with each Write.
	Records io.Writer
}

// Use makes the connections, and returns when all have ended. If ctx is done
// before, it resets what there is. That connections fail is no error: it is in
// the records. The error is of writing those, or of the configuration.
func Use(ctx context.Context, c UseConfig) error {
	if len(c.Modes) == 0 {
		return errors.New("checker: there is no mode for users")
	}
	if c.Users == 0 && c.Duration == 0 {
		return errors.New("checker: there is neither a number of users nor a duration")
	}
	c.Stall = cmp.Or(c.Stall, Patience)
	dialer := &net.Dialer{Timeout: c.Stall}
	if c.SourceIP != "" {
		ip := net.ParseIP(c.SourceIP)
		if ip == nil {
			return fmt.Errorf("checker: %q is no address", c.SourceIP)
		}
		dialer.LocalAddr = &net.TCPAddr{IP: ip}
	}
	records := &recorder{w: c.Records}
	coming := ctx
	if c.Duration > 0 {
		var cancel context.CancelFunc
		coming, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	plans := make(chan Plan)
	var users sync.WaitGroup
	for range max(1, c.Parallel) {
		users.Go(func() {
			for plan := range plans {
				records.write(use(ctx, dialer, c.To, plan, c.Stall))
			}
		})
	}
	c.come(coming, plans)
	close(plans)
	users.Wait()
	return records.failed()
}

// come hands out plans, at the rate, until all are out or ctx is done.
func (c UseConfig) come(ctx context.Context, plans chan<- Plan) {
	began := time.Now()
	for i := 0; c.Users == 0 || i < c.Users; i++ {
		if c.Rate > 0 {
			due := time.Duration(float64(i) / c.Rate * float64(time.Second))
			wait(ctx, due-time.Since(began))
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case plans <- c.plan(uint64(i)):
		case <-ctx.Done():
			return
		}
	}
}

func (c UseConfig) plan(i uint64) Plan {
	up, down := c.Up, c.Down
	if c.Vary {
		r := rand.New(rand.NewPCG(c.Seed, i))
		up, down = vary(r, up), vary(r, down)
	}
	return NewPlan(c.Run, c.Seed, i, c.Modes[i%uint64(len(c.Modes))], up, down, c.Linger)
}

// vary draws from 0 to most.
func vary(r *rand.Rand, most int64) int64 {
	return min(most, int64(math.Exp(r.Float64()*math.Log(float64(most+1)))-1))
}

// use is one user.
func use(ctx context.Context, dialer *net.Dialer, to string, plan Plan, stall time.Duration) *Record {
	rec := newRecord(User)
	rec.Plan = plan
	conn, err := dialer.DialContext(ctx, "tcp", to)
	if err != nil {
		rec.ReadEnd = dialEnd(ctx, err)
		rec.End = time.Since(rec.Start)
		return rec
	}
	script := plan.Mode.script()
	t := newTalk(conn.(*net.TCPConn), rec, stall)
	t.part = script.user
	t.want = newStream(plan.Nonce, down)
	if script.echo {
		t.want = newStream(plan.Nonce, up)
	}
	defer context.AfterFunc(ctx, t.stop)()
	t.progress(false) // sets the first deadline
	t.run(plan.header(), newStream(plan.Nonce, up), plan.Up)
	return rec
}

func dialEnd(ctx context.Context, err error) End {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return EndStopped
	case errors.As(err, &timeout) && timeout.Timeout():
		return EndStalled
	}
	return endOf(err)
}
