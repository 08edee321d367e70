package checker

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Side is who wrote a record.
type Side string

// The sides.
const (
	User   Side = "user"
	Server Side = "server"
)

// End is how a direction ended, as one side saw it.
type End string

// The ends. Others are errors that have no name here, spelled out.
const (
	EndFIN         End = "fin"         // clean
	EndReset       End = "reset"       // by the other side
	EndOwnReset    End = "own reset"   // by this side, as its plan says
	EndStopped     End = "stopped"     // by this side, because the run was over
	EndStalled     End = "stalled"     // nothing moved for as long as this side waits
	EndTimeout     End = "timeout"     // the kernel gave up
	EndRefused     End = "refused"     // there was nobody to connect to
	EndUnreachable End = "unreachable" // or no way there
	EndWrong       End = "wrong"       // this side was sent what it could not make sense of
)

// Record is what one side says about one connection. Durations are counted from
// Start with the monotonic clock, in nanoseconds.
type Record struct {
	Side Side `json:"side"`
	// Plan is the user's, and the server's if it has heard it.
	Plan
	// ServerNonce is the server's own, or at the user that of its hello.
	ServerNonce Nonce  `json:"serverNonce"`
	Local       string `json:"local"`
	Remote      string `json:"remote"`

	// Start is when the user dialled or the server accepted, by the wall clock.
	Start     time.Time     `json:"start"`
	Connected time.Duration `json:"connected"`
	FirstByte time.Duration `json:"firstByte"` // received, or 0
	LastByte  time.Duration `json:"lastByte"`  // sent or received, or 0
	End       time.Duration `json:"end"`
	Gap       time.Duration `json:"gap"` // the longest between two bytes sent or received

	// Sent and Received count header and hello too. Sent is what the kernel took.
	Sent        int64  `json:"sent"`
	Received    int64  `json:"received"`
	SentSHA     string `json:"sentSHA"`     // SHA-256 in hexadecimal, as is
	ReceivedSHA string `json:"receivedSHA"` // this one
	ReadEnd     End    `json:"readEnd"`
	WriteEnd    End    `json:"writeEnd"`

	// WrongAt is the position, in the payload, of the first received byte that
	// was not the expected one, or -1. Wrong is what was there, of at most 16 bytes.
	WrongAt int64  `json:"wrongAt"`
	Wrong   []byte `json:"wrong,omitempty"`
	// Anomalies are whatever else should not be.
	Anomalies []string `json:"anomalies,omitempty"`
}

func newRecord(side Side) *Record { return &Record{Side: side, Start: time.Now(), WrongAt: -1} }

func (r *Record) anomaly(format string, args ...any) {
	r.Anomalies = append(r.Anomalies, fmt.Sprintf(format, args...))
}

// recorder writes records, each with one call of Write, so that one that is
// killed leaves whole lines.
type recorder struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

func (r *recorder) write(record *Record) {
	line, err := json.Marshal(record)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		_, err = r.w.Write(append(line, '\n'))
	}
	if r.err == nil {
		r.err = err
	}
}

// failed gives the first error. A run whose records are not all there proves nothing.
func (r *recorder) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func newNonce() (n Nonce) {
	_, _ = rand.Read(n[:]) // it never fails
	return n
}
