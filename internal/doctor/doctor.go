// Package doctor finds out why a forwarder does not get its server online, or what will
// hurt a relay on its machine. It looks in order, from the name of the relay to the bytes
// of a user, and reports for each step what it has found and what to do.
//
// [Forwarder] looks from the forwarder's side, package machine at the machine of a relay.
// Both list [Check]s, and [Run] runs them. Results have hosts and addresses, and no secrets. What
// a peer has sent is quoted, and at most 60 bytes of it.
package doctor

import (
	"context"
	"fmt"
	"time"
)

// Status is how a check went.
type Status string

// The statuses. A problem keeps Relay from working, and a warning will hurt some day.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Problem Status = "problem"
	Skipped Status = "skipped" // Found has the reason
)

// Finding is what a check has found.
type Finding struct {
	Status Status `json:"result"`
	Found  string `json:"found"`
	// Advice is what to do, or "".
	Advice string `json:"do,omitempty"`
	// Measured has figures, if the check has measured some.
	Measured *Measured `json:"measured,omitempty"`
}

// Result is a finding with the check that has made it.
type Result struct {
	Check string `json:"check"`
	Finding
	Seconds float64 `json:"seconds"`
}

// Check is one step. Run ends soon after its context is done, which is after Timeout at the
// latest.
type Check struct {
	Name    string
	Timeout time.Duration
	Run     func(context.Context) Finding
}

// Run runs checks one after the other, and calls report with each result. When ctx is done
// the checks that are left are skipped.
func Run(ctx context.Context, checks []Check, report func(Result)) (results []Result) {
	for _, c := range checks {
		r := Result{Check: c.Name, Finding: skipped("interrupted")}
		if ctx.Err() == nil {
			begin := time.Now()
			r.Finding = c.run(ctx)
			r.Seconds = time.Since(begin).Seconds()
		}
		results = append(results, r)
		report(r)
	}
	return results
}

func (c Check) run(ctx context.Context) Finding {
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	f := c.Run(limited)
	if ctx.Err() != nil {
		return skipped("interrupted")
	}
	return f
}

// Count returns how many results have a status.
func Count(results []Result, s Status) (n int) {
	for _, r := range results {
		if r.Status == s {
			n++
		}
	}
	return n
}

// Found returns a finding. What it says is formatted, the advice is not.
func Found(s Status, advice, format string, args ...any) Finding {
	return Finding{Status: s, Found: fmt.Sprintf(format, args...), Advice: advice}
}

func ok(format string, args ...any) Finding { return Found(OK, "", format, args...) }

func skipped(format string, args ...any) Finding { return Found(Skipped, "", format, args...) }

func warning(advice, format string, args ...any) Finding {
	return Found(Warning, advice, format, args...)
}

func problem(advice, format string, args ...any) Finding {
	return Found(Problem, advice, format, args...)
}
